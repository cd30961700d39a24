import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { gradientName, gradientPath } from '../../../src/storage/gradient-name.ts';

test('names of real tensors are file names as they are', () => {
  assert.deepEqual(gradientPath('layers.0.self_attn.q-proj.weight'), ['layers.0.self_attn.q-proj.weight']);
});

test('what is no file name is escaped', () => {
  assert.deepEqual(gradientPath(''), ['%']);
  assert.deepEqual(gradientPath('.'), ['%002E']);
  assert.deepEqual(gradientPath('..'), ['%002E.']);
  assert.deepEqual(gradientPath('a/b'), ['a%002Fb']);
  assert.deepEqual(gradientPath('100%'), ['100%0025']);
  assert.deepEqual(gradientPath('\ud800'), ['%D800']);
});

test('any name comes back from its path, whose parts are short file names', () => {
  const name = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc.string({ maxLength: 40 }),
    fc
      .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 300 })
      .map((units) => String.fromCharCode(...units)),
  );
  fc.assert(
    fc.property(name, (text) => {
      const path = gradientPath(text);
      for (const part of path) {
        assert.ok(part !== '' && part !== '.' && part !== '..' && !part.includes('/'));
        assert.ok(Buffer.byteLength(part) <= 255);
      }
      assert.equal(
        path.filter((part) => part.endsWith('%+')).length,
        path.length - 1,
        'all but the last go on',
      );
      assert.equal(gradientName(path), text);
    }),
  );
});
