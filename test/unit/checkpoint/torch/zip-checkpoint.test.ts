import assert from 'node:assert/strict';
import { test } from 'node:test';
import { valueToJson } from '../../../../src/checkpoint/json.ts';
import { buildZip, DEFLATED } from '../../../hostile/zip-builder.ts';
import { assemble, global, int, storage, tensor, text, tuple, u8 } from '../pickle/assembler.ts';

import { oneTensor, onlyTensor, open, pickle, refusal, torchZip } from './torch-files.ts';

test('a tensor is an extent of the file', async (t) => {
  const content = Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
  const made = tensor(storage('0', 4), 1, [3], [1]);
  const checkpoint = await open(t, torchZip(oneTensor(made), { 0: content }));
  assert.equal(checkpoint.format, 'torch-zip');
  assert.deepEqual(checkpoint.metadata, { version: '3' });
  const { storage: own, storageOffset, shape, dtype } = onlyTensor(checkpoint);
  assert.deepEqual([storageOffset, shape, dtype, own.key], [1, [3], 'float32', '0']);
  assert.ok(own.bytes.kind === 'extent');
  assert.deepEqual(await own.bytes.image.read(own.bytes.offset, own.bytes.length), content);
});

test('a deflated storage is found where it is', async (t) => {
  const zip = buildZip([
    { name: 'm/data.pkl', content: oneTensor(tensor(storage('0', 4), 0, [4], [1])) },
    { name: 'm/data/0', content: new Uint8Array(16), method: DEFLATED },
  ]);
  const { bytes } = onlyTensor(await open(t, zip)).storage;
  assert.equal(bytes.kind, 'deflated');
  assert.equal(bytes.length, 16);
});

test('an archive without a folder opens, and so does one whose first entry is a stray', async (t) => {
  const content = oneTensor(tensor(storage('0', 4), 0, [4], [1]));
  const data = new Uint8Array(16);
  const bare = buildZip([
    { name: 'data.pkl', content },
    { name: 'data/0', content: data },
  ]);
  assert.equal((await open(t, bare)).tensors.length, 1);
  const stray = buildZip([
    { name: 'README', content: data },
    { name: 'x/data.pkl', content },
    { name: 'x/data/0', content: data },
  ]);
  assert.equal((await open(t, stray)).tensors.length, 1);
});

test('the byteorder record is obeyed', async (t) => {
  const root = oneTensor(tensor(storage('0', 4), 0, [4], [1]));
  const big = torchZip(root, { 0: new Uint8Array(16) }, [
    { name: 'm/byteorder', content: Buffer.from('big') },
  ]);
  assert.equal(onlyTensor(await open(t, big)).storage.byteorder, 'big');
  const odd = torchZip(root, { 0: new Uint8Array(16) }, [
    { name: 'm/byteorder', content: Buffer.from('pdp') },
  ]);
  assert.match((await refusal(t, odd)).message, /its byteorder is "pdp"/);
});

test('one memoised tensor at two paths is one tensor', async (t) => {
  const root = pickle(
    assemble('EMPTY_DICT', text('a'), tensor(storage('0', 4), 0, [4], [1]), 'BINPUT', u8(9), 'SETITEM'),
    assemble(text('b'), 'EMPTY_LIST', 'BINGET', u8(9), 'APPEND', 'SETITEM'),
  );
  const { tensors } = await open(t, torchZip(root, { 0: new Uint8Array(16) }));
  assert.deepEqual(
    tensors.map(({ path }) => path),
    [['a'], ['b', '0']],
  );
  assert.equal(tensors[0]?.tensor, tensors[1]?.tensor);
});

test("one storage named with two classes stays one storage, and the dtype is the tensor's", async (t) => {
  const root = pickle(
    assemble('EMPTY_LIST', tensor(storage('0', 4), 0, [4], [1]), 'APPEND'),
    assemble(tensor(storage('0', 16, 'ByteStorage'), 0, [16], [1]), 'APPEND'),
  );
  const { tensors, storages } = await open(t, torchZip(root, { 0: new Uint8Array(16) }));
  assert.deepEqual(
    tensors.map(({ tensor: { dtype } }) => dtype),
    ['float32', 'uint8'],
  );
  assert.equal(tensors[0]?.tensor.storage, tensors[1]?.tensor.storage);
  assert.equal(storages.size, 1);
});

test('_rebuild_tensor_v3 takes its dtype from the argument', async (t) => {
  const made = assemble(
    global('torch._utils', '_rebuild_tensor_v3'),
    tuple(
      storage('0', 4, 'UntypedStorage'),
      int(0),
      tuple(int(2)),
      tuple(int(1)),
      assemble('NEWTRUE'),
      assemble('NONE'),
      global('torch', 'uint16'),
    ),
    'REDUCE',
  );
  const own = onlyTensor(await open(t, torchZip(oneTensor(made), { 0: new Uint8Array(4) })));
  assert.deepEqual([own.dtype, own.requiresGrad, own.storage.dtype], ['uint16', true, undefined]);
});

test('a Parameter of the first torches keeps what BUILD said', async (t) => {
  const made = assemble(
    assemble(
      global('torch.nn.parameter', 'Parameter'),
      tensor(storage('0', 4), 0, [4], [1]),
      'TUPLE1',
      'NEWOBJ',
    ),
    assemble(tuple(assemble('NEWFALSE'), assemble('NEWFALSE'), assemble('EMPTY_DICT')), 'BUILD'),
  );
  const own = onlyTensor(await open(t, torchZip(oneTensor(made), { 0: new Uint8Array(16) })));
  assert.deepEqual([own.isParameter, own.requiresGrad], [true, false]);
});

test('a sparse tensor shows its components', async (t) => {
  const layout = assemble(
    global('torch.serialization', '_get_layout'),
    text('torch.sparse_coo'),
    'TUPLE1',
    'REDUCE',
  );
  const parts = tuple(
    tensor(storage('0', 2, 'LongStorage'), 0, [1, 2], [2, 1]),
    tensor(storage('1', 2), 0, [2], [1]),
    assemble(global('torch', 'Size'), tuple(int(9)), 'TUPLE1', 'REDUCE'),
  );
  const made = assemble(global('torch._utils', '_rebuild_sparse_tensor'), tuple(layout, parts), 'REDUCE');
  const { tensors } = await open(
    t,
    torchZip(oneTensor(made), { 0: new Uint8Array(16), 1: new Uint8Array(8) }),
  );
  assert.deepEqual(
    tensors.map(({ path }) => path),
    [
      ['w', 'indices'],
      ['w', 'values'],
    ],
  );
});

test('a meta tensor has a shape and no bytes', async (t) => {
  const made = assemble(
    global('torch._utils', '_rebuild_meta_tensor_no_storage'),
    tuple(global('torch', 'bfloat16'), tuple(int(3), int(5)), tuple(int(5), int(1)), assemble('NEWFALSE')),
    'REDUCE',
  );
  const own = onlyTensor(await open(t, torchZip(oneTensor(made), {})));
  assert.deepEqual(
    [own.dtype, own.shape, own.storage.bytes.kind, own.storage.nbytes],
    ['bfloat16', [3, 5], 'absent', 30],
  );
});

test('a state that names os.system opens, and the name is reported', async (t) => {
  const root = pickle(
    'EMPTY_DICT',
    text('x'),
    global('posix', 'system'),
    text('id'),
    'TUPLE1',
    'REDUCE',
    'SETITEM',
  );
  const checkpoint = await open(t, torchZip(root, {}));
  assert.deepEqual(checkpoint.unknownGlobals, ['posix.system']);
  assert.match(valueToJson(checkpoint.root), /"\$object": "posix.system"/);
});

const outside: [name: string, offset: number, size: number[], stride: number[], message: RegExp][] = [
  [
    'by its offset',
    1,
    [4],
    [1],
    /tensor "w": shape \[4\], stride \[1\], offset 1 of float32 reach byte 20 of a storage of 16 bytes/,
  ],
  ['by its stride', 0, [2, 2], [3, 1], /reach byte 20 of a storage of 16 bytes/],
  ['by its shape', 0, [5], [1], /reach byte 20/],
  [
    'by numbers that overflow 64 bits',
    0,
    [2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1],
    [2 ** 31 - 1, 2 ** 31 - 1, 4],
    /tensor "w": /,
  ],
  ['with a negative stride', 3, [4], [-1], /its stride has -1 in it/],
  ['with a negative size', 0, [-1], [1], /its shape has -1 in it/],
  ['with a negative offset', -1, [1], [1], /storage offset -1/],
  ['with more strides than sizes', 0, [1], [1, 1], /shape \[1\] has 1 dimensions and stride \[1,1\] 2/],
];

for (const [name, offset, size, stride, message] of outside) {
  test(`a tensor that leaves its storage is refused by name: ${name}`, async (t) => {
    const zip = torchZip(oneTensor(tensor(storage('0', 4), offset, size, stride)), { 0: new Uint8Array(16) });
    const error = await refusal(t, zip);
    assert.equal(error.code, 'ERR_MLFS_TENSOR');
    assert.match(error.message, /m\.pt: entry "m\/data\.pkl": tensor "w": /);
    assert.match(error.message, message);
  });
}

test('an empty tensor may have any stride and offset', async (t) => {
  const zip = torchZip(oneTensor(tensor(storage('0', 4), 99, [0, 7], [1000, 1])), { 0: new Uint8Array(16) });
  assert.deepEqual(onlyTensor(await open(t, zip)).shape, [0, 7]);
});

test('an expanded tensor may be larger than its storage', async (t) => {
  const zip = torchZip(oneTensor(tensor(storage('0', 4), 0, [1000, 4], [0, 1])), { 0: new Uint8Array(16) });
  assert.deepEqual(onlyTensor(await open(t, zip)).stride, [0, 1]);
});

const badStorages: [name: string, zip: () => Buffer, message: RegExp][] = [
  [
    'a record of another size',
    () => torchZip(oneTensor(tensor(storage('0', 4), 0, [4], [1])), { 0: new Uint8Array(15) }),
    /entry "m\/data\/0" has 15 bytes, its storage 16/,
  ],
  [
    'a record that is not there',
    () => torchZip(oneTensor(tensor(storage('7', 4), 0, [4], [1])), {}),
    /storage "7" has no entry "m\/data\/7"/,
  ],
  [
    'a class that is none',
    () =>
      torchZip(oneTensor(tensor(storage('0', 4, 'StrangeStorage'), 0, [4], [1])), { 0: new Uint8Array(16) }),
    /storage "0" is of an unknown class, torch.StrangeStorage/,
  ],
  [
    'two sizes for one key',
    () => torchZip(pickle(storage('0', 4), storage('0', 5), 'TUPLE2'), { 0: new Uint8Array(16) }),
    /storage "0" has 16 bytes and 20 bytes/,
  ],
  [
    'a negative size',
    () => torchZip(pickle(storage('0', -4)), { 0: new Uint8Array(16) }),
    /storage "0" has -4 elements/,
  ],
];

for (const [name, zip, message] of badStorages) {
  test(`a storage is refused: ${name}`, async (t) => {
    const error = await refusal(t, zip());
    assert.equal(error.code, 'ERR_MLFS_STORAGE');
    assert.match(error.message, message);
  });
}
