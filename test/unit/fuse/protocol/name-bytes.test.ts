import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeName, encodeName, hasRawBytes } from '../../../../src/fuse/protocol/name-bytes.ts';

test('a name of any bytes reads back to them', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      assert.deepEqual([...encodeName(decodeName(Buffer.from(bytes)))], [...bytes]);
    }),
  );
});

test('different bytes are different names', () => {
  const names = [[0xff], [0xfe], [0xef, 0xbf, 0xbd], [0xed, 0xb3, 0xbf], [0xc3], [0xc3, 0xbf]];
  const decoded = names.map((bytes) => decodeName(Buffer.from(bytes)));
  assert.equal(new Set(decoded).size, names.length);
});

test('text stays what it is', () => {
  for (const name of ['größe.bin', '層', '\u{1f600}', '\ufffd', 'a\nb', '']) {
    assert.equal(decodeName(Buffer.from(name)), name);
    assert.deepEqual(encodeName(name), Buffer.from(name));
    assert.equal(hasRawBytes(name), false);
  }
  assert.equal(hasRawBytes(decodeName(Buffer.from([0x61, 0xff]))), true);
});
