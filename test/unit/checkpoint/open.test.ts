import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.ts';
import { valueToJson } from '../../../src/checkpoint/json.ts';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { findStateDict } from '../../../src/checkpoint/state-dict.ts';
import type { Tensor } from '../../../src/checkpoint/tensor.ts';
import { isTensor } from '../../../src/checkpoint/value-children.ts';
import { type ErrorCode, MlfsError } from '../../../src/errors.ts';
import { buildZip, DEFLATED, type EntryPlan } from '../../hostile/zip-builder.ts';
import { temporaryDirectory } from '../../support/tmp.ts';
import {
  assemble,
  global,
  int,
  type Part,
  storage,
  tensor,
  text,
  tuple,
  u8,
  u32,
} from './pickle/assembler.ts';

async function open(t: TestContext, bytes: Uint8Array, name = 'm.pt'): Promise<Checkpoint> {
  const path = join(await temporaryDirectory(t), name);
  await writeFile(path, bytes);
  const checkpoint = await openCheckpoint(path);
  t.after(() => checkpoint.close());
  return checkpoint;
}

async function refusal(t: TestContext, bytes: Uint8Array, name?: string): Promise<MlfsError> {
  try {
    await open(t, bytes, name);
  } catch (cause) {
    assert.ok(cause instanceof MlfsError, String(cause));
    assert.equal(cause.exitCode, 3);
    return cause;
  }
  assert.fail('it was opened');
}

function pickle(...parts: readonly Part[]): Buffer {
  return assemble('PROTO', u8(2), ...parts, 'STOP');
}

function torchZip(
  root: Buffer,
  storages: Record<string, Uint8Array>,
  more: readonly EntryPlan[] = [],
): Buffer {
  const data = Object.entries(storages).map(([key, content]) => ({ name: `m/data/${key}`, content }));
  return buildZip([
    { name: 'm/data.pkl', content: root },
    ...data,
    ...more,
    { name: 'm/version', content: Buffer.from('3\n') },
  ]);
}

/** A dict of one tensor under `w`. */
function oneTensor(made: Buffer): Buffer {
  return pickle('EMPTY_DICT', text('w'), made, 'SETITEM');
}

function onlyTensor(checkpoint: Checkpoint): Tensor {
  assert.equal(checkpoint.tensors.length, 1);
  return checkpoint.tensors[0]?.tensor as Tensor;
}

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

const count = (value: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
};

/** torch's container before 1.6, with `version` where 1001 belongs. */
function legacy(root: Buffer, keys: readonly string[], storages: readonly Buffer[], version = 1001): Buffer {
  const magic = assemble('LONG1', u8(10), Buffer.from('6cfc9c46f9206aa85019', 'hex'));
  return Buffer.concat([
    pickle(magic),
    pickle(int(version)),
    pickle('EMPTY_DICT', text('little_endian'), 'NEWTRUE', 'SETITEM'),
    root,
    pickle('EMPTY_LIST', 'MARK', ...keys.map(text), 'APPENDS'),
    ...storages,
  ]);
}

const floats = (numel: number) => Buffer.concat([count(numel), Buffer.alloc(numel * 4, 7)]);

test('a legacy file is extents too', async (t) => {
  const root = pickle(
    assemble('EMPTY_LIST', tensor(storage('b', 2), 0, [2], [1]), 'APPEND'),
    assemble(tensor(storage('a', 3), 1, [2], [1]), 'APPEND'),
  );
  const file = legacy(root, ['a', 'b'], [floats(3), floats(2)]);
  const checkpoint = await open(t, file, 'm.bin');
  assert.equal(checkpoint.format, 'torch-legacy');
  const [b, a] = checkpoint.tensors.map(({ tensor: { storage: own } }) => own.bytes);
  assert.ok(a?.kind === 'extent' && b?.kind === 'extent');
  assert.equal(b.offset + b.length, file.length);
  assert.equal(a.offset + a.length + 8, b.offset);
});

test('a view in a legacy file is a part of its root', async (t) => {
  const view = assemble(
    'MARK',
    assemble(text('storage'), global('torch', 'FloatStorage'), text('a'), text('cpu'), int(4)),
    assemble(tuple(text('v'), int(1), int(2)), 'TUPLE', 'BINPERSID'),
  );
  const checkpoint = await open(t, legacy(pickle(tensor(view, 0, [2], [1])), ['a'], [floats(4)]));
  const { storage: own } = onlyTensor(checkpoint);
  const root = checkpoint.storages.get('a');
  assert.ok(own.bytes.kind === 'extent' && root?.bytes.kind === 'extent');
  assert.deepEqual([own.key, own.nbytes, own.bytes.offset - root.bytes.offset], ['v', 8, 4]);
});

const legacyRefusals: [name: string, code: ErrorCode, file: () => Buffer, message: RegExp][] = [
  [
    'another protocol',
    'ERR_MLFS_FORMAT',
    () => legacy(pickle('NONE'), [], [], 1002),
    /legacy protocol version 1002/,
  ],
  [
    'a count that differs',
    'ERR_MLFS_STORAGE',
    () => legacy(pickle(storage('a', 2)), ['a'], [Buffer.concat([count(1), Buffer.alloc(8)])]),
    /storage "a" has 1 elements at byte \d+, the pickle says 2/,
  ],
  [
    'an end before its storages',
    'ERR_MLFS_TRUNCATED',
    () => legacy(pickle(storage('a', 2)), ['a'], [floats(2).subarray(0, 15)]),
    /storage "a" is bytes \d+ to \d+, and the file ends at \d+/,
  ],
  [
    'a storage that no key lists',
    'ERR_MLFS_STORAGE',
    () => legacy(pickle(storage('a', 2)), [], []),
    /storage "a" is not in the file's list/,
  ],
  [
    'a key that nothing uses',
    'ERR_MLFS_STORAGE',
    () => legacy(pickle('NONE'), ['a'], []),
    /storage "a" is in the list of keys, but nothing/,
  ],
];

for (const [name, code, file, message] of legacyRefusals) {
  test(`a legacy file is refused: ${name}`, async (t) => {
    const error = await refusal(t, file());
    assert.equal(error.code, code);
    assert.match(error.message, message);
  });
}

test('a legacy file that is cut at any byte is refused', async (t) => {
  const whole = legacy(pickle(tensor(storage('a', 2), 0, [2], [1])), ['a'], [floats(2)]);
  await open(t, whole);
  for (let length = 1; length < whole.length; length += 3) {
    const error = await refusal(t, whole.subarray(0, length));
    assert.notEqual(error.code, 'ERR_MLFS_INTERNAL', `cut at ${length}: ${error.message}`);
  }
});

test('a bundle opens each torch file in it', async (t) => {
  const inner = torchZip(oneTensor(tensor(storage('0', 4), 0, [4], [1])), { 0: Buffer.alloc(16, 3) });
  const outer = buildZip([
    { name: 'policy.pth', content: inner },
    { name: 'policy.optimizer.pth', content: inner },
    { name: 'squeezed.pth', content: inner, method: DEFLATED },
    { name: 'info.txt', content: Buffer.from('hello') },
  ]);
  const checkpoint = await open(t, outer, 'best.zip');
  assert.equal(checkpoint.format, 'zip-bundle');
  assert.deepEqual(
    checkpoint.tensors.map(({ path }) => path.join('/')),
    ['policy.pth/w', 'policy.optimizer.pth/w'],
  );
  assert.deepEqual([...checkpoint.storages.keys()], ['policy.pth/0', 'policy.optimizer.pth/0']);
  const own = checkpoint.tensors[1]?.tensor.storage.bytes;
  assert.ok(own?.kind === 'extent');
  assert.deepEqual(await checkpoint.image.read(own.offset, own.length), Buffer.alloc(16, 3));
  assert.match(checkpoint.warnings[0]?.message ?? '', /"squeezed.pth" is compressed/);
  assert.deepEqual(findStateDict(checkpoint.root)?.path, ['policy.pth']);
});

test('TorchScript shows its constants beside its module', async (t) => {
  const module = pickle(
    assemble(global('__torch__.net', 'Net'), 'EMPTY_TUPLE', 'NEWOBJ', 'EMPTY_DICT', text('w')),
    assemble(tensor(storage('0', 4), 0, [4], [1]), 'SETITEM', 'BUILD'),
  );
  const constants = pickle(tensor(storage('0', 2), 0, [2], [1]), 'TUPLE1');
  const zip = torchZip(module, { 0: new Uint8Array(16) }, [
    { name: 'm/constants.pkl', content: constants },
    { name: 'm/constants/0', content: new Uint8Array(8) },
    { name: 'm/code/__torch__/net.py', content: Buffer.from('class Net'), method: DEFLATED },
  ]);
  const checkpoint = await open(t, zip);
  assert.equal(checkpoint.format, 'torchscript');
  assert.deepEqual(
    checkpoint.tensors.map(({ path, tensor: { storage: own } }) => [path.join('/'), own.key]),
    [
      ['<state>/w', '0'],
      ['constants/0', 'constants/0'],
    ],
  );
  assert.deepEqual([...(findStateDict(checkpoint.root)?.names.keys() ?? [])], ['w']);
});

test('a pickle of another program is a tree', async (t) => {
  const checkpoint = await open(t, pickle('EMPTY_DICT', text('a'), int(1), 'SETITEM'), 'x.pkl');
  assert.equal(checkpoint.format, 'pickle');
  assert.equal(valueToJson(checkpoint.root), '{\n  "a": 1\n}');
});

test('a tensor that pickle.dump kept inside the pickle is an extent of it', async (t) => {
  const inner = legacy(pickle(storage('a', 2)), ['a'], [floats(2)]);
  const own = assemble(
    assemble(global('torch.storage', '_load_from_bytes'), 'BINBYTES', u32(inner.length), inner),
    assemble('TUPLE1', 'REDUCE'),
  );
  const checkpoint = await open(t, pickle(tensor(own, 0, [2], [1])));
  const { bytes } = onlyTensor(checkpoint).storage;
  assert.ok(bytes.kind === 'extent');
  assert.deepEqual(await checkpoint.image.read(bytes.offset, bytes.length), Buffer.alloc(8, 7));
});

function tarFile(members: Record<string, Buffer>): Buffer {
  const parts = Object.entries(members).flatMap(([name, content]) => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write(content.length.toString(8).padStart(11, '0'), 124);
    header.write('0', 156);
    header.write('ustar', 257);
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

const tarMembers = {
  sys_info: pickle('EMPTY_DICT'),
  pickle: pickle('EMPTY_DICT', text('w'), int(11), 'BINPERSID', 'SETITEM'),
  storages: Buffer.concat([
    pickle(int(1)),
    pickle(int(10), text('cpu'), global('torch', 'FloatStorage'), 'TUPLE3'),
    floats(4),
    pickle('EMPTY_LIST', tuple(int(12), int(10), int(1), int(2)), 'APPEND'),
  ]),
  tensors: Buffer.concat([
    pickle(int(1)),
    pickle(int(11), int(10), global('torch', 'FloatTensor'), 'TUPLE3'),
    u32(1),
    u32(0),
    count(3),
    count(1),
    count(1),
  ]),
};

test("torch's oldest tar opens where it lies", async (t) => {
  const checkpoint = await open(t, tarFile(tarMembers));
  assert.equal(checkpoint.format, 'torch-tar');
  const own = onlyTensor(checkpoint);
  assert.deepEqual([own.shape, own.storageOffset, own.dtype], [[3], 1, 'float32']);
  assert.ok(own.storage.bytes.kind === 'extent');
  assert.deepEqual(await checkpoint.image.read(own.storage.bytes.offset, 16), Buffer.alloc(16, 7));
  assert.equal(checkpoint.storages.get('12')?.nbytes, 8);
});

test('a tar that lacks a member, or is no checkpoint, is refused with what it lacks', async (t) => {
  const { tensors: _left, ...rest } = tarMembers;
  assert.match((await refusal(t, tarFile(rest))).message, /without the member "tensors"/);
  assert.match(
    (await refusal(t, tarFile({ 'a.txt': Buffer.from('a') }))).message,
    /is a tar archive, not a checkpoint/,
  );
});

const others: [name: string, code: ErrorCode, bytes: Buffer, message: RegExp, advice?: RegExp][] = [
  ['an empty file', 'ERR_MLFS_FORMAT', Buffer.alloc(0), /m\.pt: is empty/],
  [
    'a Git LFS pointer',
    'ERR_MLFS_PLACEHOLDER',
    Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123456\n'),
    /is a Git LFS pointer to 123456 bytes/,
    /git lfs pull/,
  ],
  ['an HTML page', 'ERR_MLFS_PLACEHOLDER', Buffer.from('\n<!DOCTYPE html><html>'), /is an HTML or XML page/],
  ['GGUF', 'ERR_MLFS_FORMAT', Buffer.from('GGUF\x03\0\0\0'), /is a GGUF model/],
  ['HDF5', 'ERR_MLFS_FORMAT', Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), /is an HDF5 file/],
  ['ONNX', 'ERR_MLFS_FORMAT', Buffer.from('\x08\x07\x12\x07pytorch', 'latin1'), /is an ONNX model/],
  ['gzip', 'ERR_MLFS_FORMAT', Buffer.from('\x1f\x8b\x08\0', 'latin1'), /is a gzip file/, /gunzip/],
  ['JSON', 'ERR_MLFS_FORMAT', Buffer.from('{"weight_map": {}}'), /is JSON, not a checkpoint/],
  [
    'noise',
    'ERR_MLFS_FORMAT',
    Buffer.from([0xde, 0xad, 0xbe, 0xef]),
    /is no checkpoint: it starts with the bytes deadbeef/,
  ],
  [
    'a zip of something else',
    'ERR_MLFS_FORMAT',
    buildZip([{ name: 'a.npy' }]),
    /without a torch checkpoint in it: .* "a\.npy"/,
  ],
  [
    'a pickle with bytes after it',
    'ERR_MLFS_FORMAT',
    Buffer.concat([pickle('NONE'), Buffer.alloc(9)]),
    /is a pickle of 4 bytes with 9 bytes after it/,
  ],
  [
    'the data.pkl of an unpacked checkpoint',
    'ERR_MLFS_STORAGE',
    pickle(storage('0', 4)),
    /storage "0" is not in this file/,
    /open the whole archive/,
  ],
];

for (const [name, code, bytes, message, advice] of others) {
  test(`what is no checkpoint is refused by its own name: ${name}`, async (t) => {
    const error = await refusal(t, bytes);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    if (advice !== undefined) assert.match(error.advice ?? '', advice);
  });
}

const wrapped: [name: string, key: string, expected: readonly string[]][] = [
  ['a usual wrapper', 'model_state_dict', ['model_state_dict']],
  ['a wrapper of an unusual name', 'my_weights', ['my_weights']],
];

for (const [name, key, expected] of wrapped) {
  test(`the state dict is found in ${name}`, async (t) => {
    const one = tensor(storage('0', 4), 0, [4], [1]);
    const optimizer = assemble('EMPTY_DICT', text('a'), one, 'SETITEM', text('b'), one, 'SETITEM');
    const root = pickle(
      assemble('EMPTY_DICT', text('optimizer'), optimizer, 'SETITEM', text('epoch'), int(3), 'SETITEM'),
      assemble(text(key), 'EMPTY_DICT', text('w'), one, 'SETITEM', 'SETITEM'),
    );
    const { root: value } = await open(t, torchZip(root, { 0: new Uint8Array(16) }));
    const found = findStateDict(value);
    assert.deepEqual(found?.path, expected);
    assert.deepEqual([...found.names.keys()], ['w']);
    assert.ok(isTensor(found.names.get('w')));
  });
}
