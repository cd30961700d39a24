import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NAME_LENGTH } from '../../../../src/checkpoint/name-length.ts';
import { readPickle } from '../../../../src/checkpoint/pickle/unpickle.ts';
import { PyDict } from '../../../../src/checkpoint/pickle/values.ts';
import { assemble, text } from './assembler.ts';

/** A dict of keys that differ in their last characters only. */
function dictOf(keys: number, length: number): Buffer {
  const items = Array.from({ length: keys }, (_unused, index) =>
    assemble(text(String(index).padStart(length, 'k')), 'NONE'),
  );
  return assemble('EMPTY_DICT', 'MARK', ...items, 'SETITEMS', 'STOP');
}

test('many keys as long as a name may be are cheap', () => {
  const { value } = readPickle(dictOf(1_000, NAME_LENGTH), { path: 'm.pt' });
  assert.ok(value instanceof PyDict);
  assert.equal(value.entries.length, 1_000);
});

test('long keys of one length, which V8 cannot tell apart by their hashes, are refused when they are many', () => {
  assert.equal((readPickle(dictOf(20, 60_000), { path: 'm.pt' }).value as PyDict).entries.length, 20);
  assert.throws(() => readPickle(dictOf(1_000, 60_000), { path: 'm.pt' }), { code: 'ERR_MLFS_LIMIT' });
});

test('equal numbers are one key, whatever their type and size', () => {
  const dict = new PyDict();
  for (const key of [1, true, 2 ** 30, 2 ** 30, -5, -5, 10n ** 20n, 10n ** 20n]) dict.set(key, null);
  assert.equal(dict.entries.length, 4);
  assert.equal(dict.get(2 ** 30), null);
});
