import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteRanges } from '../../../src/storage/byte-ranges.ts';

const RANGES = new ByteRanges([
  { offset: 20, length: 5 },
  { offset: 5, length: 5 },
  { offset: 8, length: 4 },
  { offset: 12, length: 1 },
  { offset: 15, length: 0 },
]);

test('what the ranges cover is contained, byte for byte', () => {
  const covered = (at: number) => (at >= 5 && at < 13) || (at >= 20 && at < 25);
  for (let start = 0; start < 30; start++) {
    for (let end = start; end < 30; end++) {
      const bytes = Array.from({ length: end - start }, (_, index) => start + index);
      assert.equal(RANGES.contains(start, end), bytes.every(covered), `${start} to ${end}`);
      const parts = [...RANGES.parts(start, end)];
      const listed = parts.flatMap((part) =>
        Array.from({ length: part.end - part.start }, (_, index) => [part.start + index, part.inside]),
      );
      assert.deepEqual(
        listed,
        bytes.map((at) => [at, covered(at)]),
      );
    }
  }
});

test('without ranges nothing is contained', () => {
  const none = new ByteRanges([]);
  assert.equal(none.contains(0, 1), false);
  assert.deepEqual([...none.parts(3, 7)], [{ start: 3, end: 7, inside: false }]);
});
