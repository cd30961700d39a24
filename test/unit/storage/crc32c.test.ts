import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc32c, crc32cByTables } from '../../../src/storage/crc32c.ts';

/** RFC 3720, appendix B.4, and the check value of the catalogue of CRCs. */
const KNOWN: readonly (readonly [Uint8Array, number])[] = [
  [new Uint8Array(0), 0],
  [Buffer.from('123456789'), 0xe3069283],
  [Buffer.alloc(32), 0x8a9136aa],
  [Buffer.alloc(32, 0xff), 0x62a8ab43],
  [Uint8Array.from({ length: 32 }, (_, index) => index), 0x46dd794e],
  [Uint8Array.from({ length: 32 }, (_, index) => 31 - index), 0x113fdb5c],
];

for (const [name, checksum] of [
  ['the chosen way', crc32c],
  ['the way by tables', crc32cByTables],
] as const) {
  test(`${name} gives the values of RFC 3720`, () => {
    for (const [bytes, expected] of KNOWN) assert.equal(checksum(bytes), expected);
  });
}

test('both ways agree at every length and alignment, and in parts', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(20), fc.nat(200), (bytes, skipped, cut) => {
      const part = bytes.subarray(Math.min(skipped, bytes.length));
      const whole = crc32c(part);
      assert.equal(crc32cByTables(part), whole);
      for (const checksum of [crc32c, crc32cByTables]) {
        assert.equal(checksum(part.subarray(cut), checksum(part.subarray(0, cut))), whole);
      }
    }),
  );
});
