import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileOffset, storageXattrs } from '../../../src/tree/tensor-files.ts';
import { storage, tensor } from './tree-fixtures.ts';

/** Where storage 0 lies. */
const BASE = 1024;

test('a view of elements that share a byte begins at the byte with its first element', () => {
  const own = storage('0', 64);
  assert.equal(fileOffset(tensor(own, [8], { dtype: 'quint4x2', storageOffset: 4 })), BASE + 2);
  assert.equal(fileOffset(tensor(own, [8], { dtype: 'quint2x4', storageOffset: 4 })), BASE + 1);
  assert.equal(fileOffset(tensor(own, [8], { dtype: 'float32', storageOffset: 4 })), BASE + 16);
});

test('the shape of a storage counts elements, also those that share a byte', () => {
  const shape = (dtype: 'float32' | 'quint4x2' | 'quint2x4') =>
    storageXattrs({ ...storage('0', 64), dtype }).get('user.mlfs.shape');
  assert.equal(shape('float32'), '16');
  assert.equal(shape('quint4x2'), '128');
  assert.equal(shape('quint2x4'), '256');
});
