import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Row } from '../../../bench/schedule.ts';
import { median, summarize } from '../../../bench/statistics.ts';
import { judge } from '../../../bench/targets.ts';

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
    row('mlfs kernel', 'many', 'mount', 0.6, 'lower'),
  ];
  assert.deepEqual(
    judge(rows).map(({ what, met }) => [what, met]),
    [
      ['mount of 20,000 tensors, s', false],
      ['find / fuse-zip', true],
    ],
  );
});

test('a target without its rows is not judged', () => {
  assert.deepEqual(judge([row('mlfs kernel', 'cold', 'rate', 1, 'higher')]), []);
});
