/** Tensors of classes that other libraries derive from torch's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PyDict, type PyObject } from '../../../../src/checkpoint/pickle/values.ts';
import { findStateDict } from '../../../../src/checkpoint/state-dict.ts';
import { assemble, global, int, storage, tensor, text, tuple } from '../pickle/assembler.ts';
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

test('a sparse or nested tensor with attributes keeps the names of its parts, its class and its attributes', async (t) => {
  const part = tensor(storage('0', 6), 0, [2], [1]);
  const withTag = (type: Buffer, rebuild: string, args: Buffer) =>
    assemble(
      global('torch._tensor', '_rebuild_from_type_v2'),
      tuple(
        global('torch._utils', rebuild),
        type,
        args,
        assemble('EMPTY_DICT', 'MARK', text('tag'), text('x'), text('extra'), part, 'SETITEMS'),
      ),
      'REDUCE',
    );
  const coo = tuple(
    assemble(global('torch.serialization', '_get_layout'), text('torch.sparse_coo'), 'TUPLE1', 'REDUCE'),
    tuple(part, tensor(storage('0', 6), 2, [2], [1]), tuple(int(3))),
  );
  const nested = tuple(...[0, 1, 2, 3].map((offset) => tensor(storage('0', 6), offset, [2], [1])));
  const checkpoint = await open(
    t,
    torchZip(
      assemble(
        assemble('EMPTY_DICT', 'MARK'),
        assemble(text('s'), withTag(global('torch', 'Tensor'), '_rebuild_sparse_tensor', coo)),
        assemble(text('m'), withTag(global('my', 'Mask'), '_rebuild_sparse_tensor', coo)),
        assemble(text('n'), withTag(global('torch', 'Tensor'), '_rebuild_nested_tensor', nested)),
        assemble('SETITEMS', 'STOP'),
      ),
      { 0: Buffer.alloc(24, 1) },
    ),
  );
  assert.deepEqual(
    [...(findStateDict(checkpoint.root)?.names.keys() ?? [])],
    [
      ...['s.indices', 's.values', 'm.indices', 'm.values'],
      // The attribute `extra` is the first part of each again, and has no name of its own.
      ...['n.buffer', 'n.sizes', 'n.strides', 'n.storage_offsets'],
    ],
  );
  const { root } = checkpoint;
  assert.ok(root instanceof PyDict);
  const classes = ['s', 'm', 'n'].map((key) => (root.get(key) as PyObject).className);
  assert.deepEqual(classes, ['torch.sparse_coo', 'my.Mask', 'torch.nested_tensor']);
  assert.equal(((root.get('s') as PyObject).state as PyDict).get('tag'), 'x');
});
