import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { escapeKey, pathOfTensorName, tensorNameOf } from '../../../src/tree/path-names.ts';

test('an ordinary tensor name is its own path', () => {
  assert.deepEqual(pathOfTensorName('layers.0.attention.wq.weight'), [
    'layers',
    '0',
    'attention',
    'wq',
    'weight',
  ]);
});

test('what cannot be a file name is escaped', () => {
  assert.deepEqual(pathOfTensorName(''), ['%']);
  assert.deepEqual(pathOfTensorName('a..b'), ['a', '%', 'b']);
  assert.deepEqual(pathOfTensorName('a/b.c\0d.50%'), ['a%2Fb', 'c%00d', '50%25']);
  assert.deepEqual(pathOfTensorName('x\n\x7f'), ['x%0A%7F']);
  assert.deepEqual(escapeKey('.'), ['%2E']);
  assert.deepEqual(escapeKey('..'), ['%2E%2E']);
  assert.deepEqual(escapeKey('...'), ['...']);
  assert.deepEqual(escapeKey('\ud800'), ['%uD800']);
});

test('a part that is too long goes on in the next one, never inside a character', () => {
  assert.equal(escapeKey('a'.repeat(250)).length, 1);
  const parts = escapeKey('é'.repeat(126));
  assert.deepEqual(
    parts.map((part) => Buffer.byteLength(part)),
    [250, 4],
  );
  assert.ok(parts[0]?.endsWith('%+'));
});

test('every name can be read back from a path that Linux accepts', () => {
  const awkward = fc.string({
    unit: fc.constantFrom('a', '.', '/', '%', '\0', '\n', '+', '~', 'é', '漢', '😀', '\ud83d', '2', 'F', 'u'),
    maxLength: 700,
  });
  fc.assert(
    fc.property(fc.oneof(awkward, fc.string({ unit: 'binary', maxLength: 400 })), (name) => {
      const path = pathOfTensorName(name);
      for (const part of path) {
        assert.ok(part !== '' && part !== '.' && part !== '..');
        assert.ok(!part.includes('/') && !part.includes('\0'));
        assert.ok(Buffer.byteLength(`${part}.grad`) <= 255, part);
        assert.equal(Buffer.from(part).toString(), part, 'survives UTF-8');
      }
      assert.equal(tensorNameOf(path), name);
    }),
    { numRuns: 500 },
  );
});

test('a long key is cut at the same places whether its characters are all plain or not', () => {
  for (const length of [249, 250, 251, 498, 499, 500, 746, 747, 748, 8192]) {
    const plain = escapeKey('k'.repeat(length));
    // The last character is the only one that is escaped: it takes three bytes.
    const escaped = escapeKey(`${'k'.repeat(length - 3)}%`);
    assert.deepEqual(plain, escaped.join('|').replace(/%25$/, 'kkk').split('|'), String(length));
    assert.ok(plain.every((part) => Buffer.byteLength(part) <= 250));
    assert.equal(tensorNameOf(plain), 'k'.repeat(length));
  }
});
