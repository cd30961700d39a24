import assert from 'node:assert/strict';
import { test } from 'node:test';
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
