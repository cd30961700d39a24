import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scattered } from '../../../src/throughput/scatter.ts';

test('scattered gives every number once, whatever the count', () => {
  for (const count of [1, 2, 3, 4, 5, 6, 13, 64, 100, 1021, 4096]) {
    const numbers = [...scattered(count)];
    assert.equal(numbers.length, count);
    assert.equal(new Set(numbers).size, count, `of ${count}`);
    assert.ok(numbers.every((number) => Number.isInteger(number) && number >= 0 && number < count));
  }
});

test('scattered keeps neighbours far apart, so that no readahead is set off', () => {
  const numbers = [...scattered(10_000)];
  const near = numbers.filter((number, at) => at > 0 && Math.abs(number - (numbers[at - 1] ?? 0)) < 1000);
  assert.equal(near.length, 0);
});

test('scattered gives nothing for nothing', () => {
  assert.deepEqual([...scattered(0)], []);
});
