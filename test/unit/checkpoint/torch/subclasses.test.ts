/** Tensors of classes that other libraries derive from torch's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assemble, global, int, storage, tuple } from '../pickle/assembler.ts';
import { oneTensor, onlyTensor, open, torchZip } from './torch-files.ts';

const rest = [storage('0', 6), int(1), tuple(int(2)), tuple(int(3)), assemble('NEWFALSE'), assemble('NONE')];
const TENSOR_IMAGE = global('fastai.torch_core', 'TensorImage');

const files: readonly [name: string, value: Buffer, unknown: readonly string[]][] = [
  [
    'fastai.torch_core._rebuild_from_type',
    assemble(
      global('fastai.torch_core', '_rebuild_from_type'),
      tuple(
        global('torch._utils', '_rebuild_tensor_v2'),
        TENSOR_IMAGE,
        tuple(...rest),
        assemble('EMPTY_DICT'),
      ),
      'REDUCE',
    ),
    ['fastai.torch_core.TensorImage', 'fastai.torch_core._rebuild_from_type'],
  ],
  [
    'fastai.torch_core._fa_rebuild_tensor',
    assemble(global('fastai.torch_core', '_fa_rebuild_tensor'), tuple(TENSOR_IMAGE, ...rest), 'REDUCE'),
    ['fastai.torch_core.TensorImage'],
  ],
];

for (const [name, value, unknown] of files) {
  test(`${name} gives a tensor that says its class, and the module is still named as unknown`, async (t) => {
    const checkpoint = await open(t, torchZip(oneTensor(value), { 0: Buffer.alloc(24, 1) }));
    const tensor = onlyTensor(checkpoint);
    assert.deepEqual(
      [tensor.shape, tensor.stride, tensor.storageOffset, tensor.dtype],
      [[2], [3], 1, 'float32'],
    );
    assert.equal(tensor.note, 'fastai.torch_core.TensorImage');
    assert.deepEqual([...checkpoint.unknownGlobals], unknown);
  });
}
