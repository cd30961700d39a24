import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { differingRuns } from '../../../src/storage/differing-runs.ts';

test('runs cover every difference, begin and end with one, and leave out long equal stretches', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 9000 }),
      fc.array(fc.record({ at: fc.nat(9000), length: fc.integer({ min: 1, max: 50 }) }), { maxLength: 12 }),
      fc.integer({ min: 0, max: 64 }),
      (before, edits, gap) => {
        const after = Uint8Array.from(before);
        for (const { at, length } of edits) {
          for (let index = at; index < Math.min(after.length, at + length); index++) {
            after[index] = (after[index] as number) ^ 0x5a;
          }
        }
        const runs = differingRuns(before, after, gap);
        let covered = 0;
        runs.forEach(({ start, end }, index) => {
          assert.ok(start < end);
          assert.notEqual(before[start], after[start]);
          assert.notEqual(before[end - 1], after[end - 1]);
          if (index > 0) assert.ok(start - (runs[index - 1]?.end ?? 0) > gap, 'a short gap was left out');
          let equal = 0;
          for (let at = start; at < end; at++) {
            equal = before[at] === after[at] ? equal + 1 : 0;
            if (equal === 0) covered++;
            assert.ok(equal <= gap, 'a long gap was kept');
          }
        });
        const differences = after.filter((byte, index) => byte !== before[index]).length;
        assert.equal(covered, differences);
      },
    ),
  );
});

test('equal bytes have no runs', () => {
  const bytes = Buffer.alloc(10_000, 7);
  assert.deepEqual(differingRuns(bytes, Buffer.from(bytes), 40), []);
});
