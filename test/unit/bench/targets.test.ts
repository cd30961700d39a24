import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DRIVERS } from '../../../bench/drivers/all.ts';
import type { Row } from '../../../bench/schedule.ts';
import { median, summarize } from '../../../bench/statistics.ts';
import { judge, TARGETS } from '../../../bench/targets.ts';
import { WORKLOADS } from '../../../bench/workloads/all.ts';

function row(driver: string, workload: string, key: string, value: number, better: 'higher' | 'lower'): Row {
  return {
    driver,
    workload,
    metric: { key, title: key, unit: 'GB/s', better },
    summary: summarize([value]),
  };
}

test('the median of an even count is the mean of the two in the middle', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([5, 1, 100]), 5);
});

test('a target is held against the best C loop, not against any', () => {
  const rows = [
    row('c-loop plain', 'sequential', 'first', 2, 'higher'),
    row('c-loop tuned', 'sequential', 'first', 4, 'higher'),
    row('mlfs kernel', 'sequential', 'first', 3, 'higher'),
  ];
  const [verdict] = judge(rows);
  assert.equal(verdict?.reference?.driver, 'c-loop tuned');
  assert.equal(verdict?.figure, 0.75);
  assert.equal(verdict?.met, false);
});

test('where less is better, a ratio below the limit meets the target', () => {
  const rows = [
    row('fuse-zip', 'many', 'find', 1, 'lower'),
    row('mlfs kernel', 'many', 'find', 1.5, 'lower'),
    row('mlfs kernel', 'walk', 'mount', 0.6, 'lower'),
  ];
  assert.deepEqual(
    judge(rows).map(({ what, met }) => [what, met]),
    [
      ['20,000 tensors: mount, s', false],
      ['20,000 tensors: find / fuse-zip', true],
    ],
  );
});

test('the speed of the read-only mount is held against native reads, and nothing else takes its place', () => {
  const native = row('native', 'sequential', 'kept', 10, 'higher');
  const verdictOf = (driver: string) =>
    judge([native, row(driver, 'sequential', 'kept', 9.6, 'higher')]).map(({ what, met }) => [what, met]);
  assert.deepEqual(verdictOf('mlfs view'), [['read-only, second pass, kept / native', true]]);
  assert.deepEqual(verdictOf('mlfs plane'), []);
});

test('the first byte is held against the start of Node in the same run', () => {
  const rows = [
    row('mlfs kernel', 'first-byte', 'command', 0.5, 'lower'),
    row('mlfs kernel', 'start-up', 'node', 0.1, 'lower'),
  ];
  assert.deepEqual(
    judge(rows).map(({ figure, met }) => [figure, met]),
    [[5, false]],
  );
});

test('a target without its rows is not judged', () => {
  assert.deepEqual(judge([row('mlfs kernel', 'cold', 'rate', 1, 'higher')]), []);
});

test('a commit is held against one of a smaller file by the same driver', () => {
  const rows = [
    row('native', 'commit', 'time', 0.001, 'lower'),
    row('mlfs kernel', 'commit', 'time', 0.01, 'lower'),
    row('mlfs kernel', 'commit', 'timeTenfold', 0.02, 'lower'),
  ];
  assert.deepEqual(
    judge(rows).map(({ reference, figure, met }) => [reference?.driver, figure, met]),
    [['mlfs kernel', 2, false]],
  );
});

test('what must not be written at all is met by nothing and missed by a byte', () => {
  const verdictOf = (bytes: number) => judge([row('mlfs kernel', 'write', 'againJournal', bytes, 'lower')]);
  assert.deepEqual(
    [0, 1].map((bytes) => verdictOf(bytes).map(({ target, met }) => [target, met])),
    [[['≤ 0', true]], [['≤ 0', false]]],
  );
});

test('a row of the journal by another transport is not held against the target', () => {
  assert.deepEqual(judge([row('mlfs fuse-native', 'rsync', 'journal', 2, 'lower')]), []);
});

test('every target names a workload and a figure that are measured', () => {
  const rows = WORKLOADS.flatMap(({ name, metrics }) =>
    DRIVERS.flatMap(({ name: driver }) =>
      metrics.map((metric) => ({ driver, workload: name, metric, summary: summarize([1]) })),
    ),
  );
  assert.equal(judge(rows).length, TARGETS.length);
});
