import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partitionPoint } from '../../../src/storage/partition-point.ts';

test('every place is found, in few looks, and an index beyond 32 bits stays exact', () => {
  for (let length = 0; length < 20; length++) {
    for (let point = 0; point <= length; point++) {
      assert.equal(
        partitionPoint(length, (index) => index >= point),
        point,
      );
    }
  }
  let looks = 0;
  const far = 2 ** 40 + 3;
  const found = partitionPoint(2 ** 50, (index) => {
    looks++;
    return index >= far;
  });
  assert.equal(found, far);
  assert.ok(looks <= 51, `${looks} looks`);
});
