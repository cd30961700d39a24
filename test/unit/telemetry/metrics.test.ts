import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Histogram } from '../../../src/telemetry/histogram.ts';
import { MetricsRegistry } from '../../../src/telemetry/metrics.ts';

test('metrics are rendered as Prometheus reads them, a family once', () => {
  const registry = new MetricsRegistry();
  let reads = 1;
  registry.register(() => [
    { name: 'reads_total', help: 'Reads.', value: reads, labels: { by: 'a"b' } },
    { name: 'cache_bytes', help: 'Held.', value: 7 },
  ]);
  registry.register(() => [{ name: 'reads_total', help: 'Reads.', value: 5, labels: { by: 'c' } }]);
  reads = 2;
  assert.equal(
    registry.render(),
    '# HELP mlfs_reads_total Reads.\n# TYPE mlfs_reads_total counter\n' +
      'mlfs_reads_total{by="a\\"b"} 2\nmlfs_reads_total{by="c"} 5\n' +
      '# HELP mlfs_cache_bytes Held.\n# TYPE mlfs_cache_bytes gauge\nmlfs_cache_bytes 7\n',
  );
});

test('a bucket of a histogram counts those below it, and an observation on a bound', () => {
  const seconds = new Histogram([0.001, 0.5]);
  for (const value of [0.001, 0.002, 0.0625, 7]) seconds.observe(value);
  const registry = new MetricsRegistry();
  registry.register(() => [
    { name: 'read_duration_seconds', help: 'Reads.', histogram: seconds.counts, labels: { room: 'model' } },
  ]);
  assert.equal(
    registry.render(),
    '# HELP mlfs_read_duration_seconds Reads.\n# TYPE mlfs_read_duration_seconds histogram\n' +
      'mlfs_read_duration_seconds_bucket{room="model",le="0.001"} 1\n' +
      'mlfs_read_duration_seconds_bucket{room="model",le="0.5"} 3\n' +
      'mlfs_read_duration_seconds_bucket{room="model",le="+Inf"} 4\n' +
      'mlfs_read_duration_seconds_sum{room="model"} 7.0655\n' +
      'mlfs_read_duration_seconds_count{room="model"} 4\n',
  );
});
