import assert from 'node:assert/strict';
import { test } from 'node:test';
import { storageUse } from '../../../src/checkpoint/storage-use.ts';
import type { DType, Storage, Tensor } from '../../../src/checkpoint/tensor.ts';

function storageOf(key: string, nbytes: number, kind: 'deflated' | 'absent' = 'deflated'): Storage {
  const bytes =
    kind === 'absent' ? { kind, reason: 'meta' } : { kind, offset: 0, compressedLength: 1, length: nbytes };
  return {
    type: 'storage',
    key,
    dtype: undefined,
    nbytes,
    location: 'cpu',
    byteorder: 'little',
    bytes,
  } as Storage;
}

function view(
  storage: Storage,
  offset: number,
  shape: number[],
  stride: number[],
  dtype: DType = 'float32',
): Tensor {
  return {
    type: 'tensor',
    dtype,
    shape,
    stride,
    storageOffset: offset,
    storage,
    requiresGrad: false,
    isParameter: false,
  };
}

test('what no tensor shows of a storage is counted', () => {
  const big = storageOf('0', 40_000);
  assert.deepEqual(storageUse([big], [view(big, 100, [100], [1])]), { bytes: 40_000, unusedBytes: 39_600 });
  assert.deepEqual(storageUse([big], []), { bytes: 40_000, unusedBytes: 40_000 });
});

test('tensors that overlap, follow each other or are tied are counted once', () => {
  const one = storageOf('0', 100);
  const tensors = [
    view(one, 0, [10], [1]),
    view(one, 0, [10], [1]),
    view(one, 5, [10], [1]),
    view(one, 15, [5], [1]),
  ];
  assert.deepEqual(storageUse([one], tensors), { bytes: 100, unusedBytes: 20 });
});

test('strides, expanded and empty tensors, packed elements, and storages without bytes', () => {
  const one = storageOf('0', 64);
  const absent = storageOf('1', 1000, 'absent');
  // Two of every four elements: the gaps between them count as used.
  assert.deepEqual(storageUse([one, absent], [view(one, 0, [4, 2], [4, 1])]), { bytes: 64, unusedBytes: 8 });
  assert.deepEqual(storageUse([one], [view(one, 3, [1000], [0])]), { bytes: 64, unusedBytes: 60 });
  assert.deepEqual(storageUse([one], [view(one, 3, [0, 5], [5, 1])]), { bytes: 64, unusedBytes: 64 });
  assert.deepEqual(storageUse([one], [view(one, 0, [9], [1], 'quint4x2')]), { bytes: 64, unusedBytes: 59 });
});
