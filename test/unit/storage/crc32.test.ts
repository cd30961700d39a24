import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32, crc32ByTable, crc32Combine, crc32OfZeros, crc32Update } from '../../../src/storage/crc32.ts';

const bytes = fc.uint8Array({ maxLength: 300 });

test('the check value of CRC-32 is the published one', () => {
  assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926);
  assert.equal(crc32ByTable(Buffer.from('123456789')), 0xcbf43926);
});

test("the table agrees with zlib, also when it goes on from a part's CRC", () => {
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      const whole = crc32(Buffer.concat([a, b]));
      assert.equal(crc32ByTable(b, crc32ByTable(a)), whole);
      assert.equal(crc32(b, crc32(a)), whole);
    }),
  );
});

test('the CRC of a concatenation follows from the CRCs of its parts', () => {
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      assert.equal(crc32Combine(crc32(a), crc32(b), b.length), crc32(Buffer.concat([a, b])));
    }),
  );
});

test('the CRC of zeros is computed without making them', () => {
  for (const length of [0, 1, 7, 8, 63, 4096, 100_003]) {
    assert.equal(crc32OfZeros(length), crc32(new Uint8Array(length)), `${length} zeros`);
  }
});

test('lengths past 32 bits count: 3 TiB of zeros are 3 times 1 TiB', () => {
  const tebi = 2 ** 40;
  const one = crc32OfZeros(tebi);
  const two = crc32Combine(one, one, tebi);
  assert.equal(crc32Combine(two, one, tebi), crc32OfZeros(3 * tebi));
  assert.notEqual(crc32OfZeros(tebi), crc32OfZeros(tebi + 2 ** 32));
});

test('the CRC of an edited message follows from the old one and the changed bytes', () => {
  fc.assert(
    fc.property(bytes, bytes, bytes, fc.integer(), (head, change, tail, seed) => {
      const after = change.map((byte, index) => byte ^ ((seed >> (index % 24)) & 0xff));
      const old = crc32(Buffer.concat([head, change, tail]));
      const expected = crc32(Buffer.concat([head, after, tail]));
      assert.equal(crc32Update(old, change, after, tail.length), expected);
    }),
  );
});
