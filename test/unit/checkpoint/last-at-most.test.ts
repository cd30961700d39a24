import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastAtMost } from '../../../src/checkpoint/last-at-most.ts';

test('the last key that is at most the value is found, as a scan finds it', () => {
  const keys = [3, 3, 5, 8, 8, 8, 13];
  for (let count = 0; count <= keys.length; count++) {
    const own = keys.slice(0, count);
    for (let value = 0; value <= 14; value += 0.5) {
      const found = lastAtMost(count, (index) => own[index] as number, value);
      assert.equal(
        found,
        own.findLastIndex((key) => key <= value),
        `${value} in ${own}`,
      );
    }
  }
});
