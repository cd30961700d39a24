import assert from 'node:assert/strict';
import { test } from 'node:test';
import { looksLikeParameter } from '../../../src/checkpoint/model.ts';
import {
  PyBytes,
  PyDict,
  PyFloat,
  PyGlobal,
  PyList,
  PyObject,
  PyTuple,
} from '../../../src/checkpoint/pickle/values.ts';
import type { DirectoryInode, FileInode } from '../../../src/inode.ts';
import { atOnce } from '../../../src/storage/in-slices.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { addCheckpointRoom } from '../../../src/tree/checkpoint-room.ts';
import { InodeTable } from '../../../src/tree/inode-table.ts';
import { addModelRoom } from '../../../src/tree/model-room.ts';
import { outlineInSlices } from '../../../src/tree/outline.ts';
import { storageXattrs, TensorFiles } from '../../../src/tree/tensor-files.ts';
import { at, IMAGE, paths, storage, tensor } from './tree-fixtures.ts';

function rooms() {
  const table = new InodeTable(1000);
  const files = new TensorFiles(table, { cache: new RenderedPages(1 << 20), writable: false });
  return {
    table,
    files,
    model: table.folder(table.root, 'model'),
    checkpoint: table.folder(table.root, 'checkpoint'),
  };
}

function dict(entries: Record<string, unknown>): PyDict {
  const made = new PyDict();
  for (const [key, value] of Object.entries(entries)) made.set(key, value as never);
  return made;
}

const sources = (files: TensorFiles) => ({
  files,
  json: () => 'json\n',
  cache: new RenderedPages(1 << 20),
});

function fileAt(room: DirectoryInode, ...names: string[]): FileInode {
  const file = at(room, names.join('/'));
  assert.ok(file.kind === 'file');
  return file;
}

function documentText(room: DirectoryInode, ...names: string[]): string {
  const { content } = fileAt(room, ...names);
  assert.ok(content.kind === 'extents');
  const [extent] = content.extents;
  assert.ok(extent?.kind === 'inline');
  return Buffer.from(extent.bytes).toString();
}

function numpyDtype(code: string, [order, itemsize]: [string, number]): PyObject {
  const dtype = new PyObject(new PyGlobal('numpy', 'dtype'), new PyTuple([code, false, true]));
  dtype.state = new PyTuple([3, order, null, null, null, itemsize, 4, 8]);
  return dtype;
}

test('/model has a folder a module, a file a tensor and a gradient beside each parameter', () => {
  const { table, files, model } = rooms();
  const weight = tensor(storage('0', 24), [2, 3]);
  addModelRoom(
    table,
    model,
    [
      { name: 'fc.weight', tensor: weight, parameter: true },
      { name: 'bn.running_mean', tensor: tensor(storage('1', 8), [2]), parameter: false },
    ],
    files,
  );
  assert.deepEqual(paths(model), ['fc/', 'fc/weight.bin', 'fc/weight.grad', 'bn/', 'bn/running_mean.bin']);
  const file = at(model, 'fc/weight.bin');
  assert.ok(file.kind === 'file' && file.content.kind === 'extents');
  assert.equal(file.content.size, 24);
  assert.equal(file.mode, 0o444);
  assert.equal(file.xattrs?.get('user.mlfs.shape'), '2,3');
  assert.equal(file.xattrs?.get('user.mlfs.offset'), '1024');
  const gradient = at(model, 'fc/weight.grad');
  assert.ok(gradient.kind === 'file' && gradient.content.kind === 'extents' && gradient.content.size === 0);
  assert.equal(table.totalBytes, 32);
});

test('tied tensors are one inode with two links, and so are their gradients', () => {
  const { table, files, model } = rooms();
  const shared = storage('0', 24);
  addModelRoom(
    table,
    model,
    [
      { name: 'wte', tensor: tensor(shared, [2, 3]), parameter: true },
      { name: 'head', tensor: tensor(shared, [2, 3]), parameter: true },
      { name: 'transposed', tensor: tensor(shared, [3, 2]), parameter: false },
    ],
    files,
  );
  const file = at(model, 'wte.bin');
  assert.equal(at(model, 'head.bin'), file);
  assert.ok(file.kind === 'file' && file.nlink === 2);
  assert.equal(at(model, 'head.grad'), at(model, 'wte.grad'));
  assert.notEqual(at(model, 'transposed.bin'), file);
});

test('two tensors that want one name stay apart', () => {
  const { table, files, model } = rooms();
  for (const key of ['0', '1']) {
    addModelRoom(
      table,
      model,
      [{ name: 'a.w', tensor: tensor(storage(key, 4), [1]), parameter: true }],
      files,
    );
  }
  assert.deepEqual(paths(model), ['a/', 'a/w.bin', 'a/w.grad', 'a/w%~2.bin', 'a/w%~2.grad']);
});

test('a bare tensor has a name', () => {
  const { table, files, model } = rooms();
  addModelRoom(table, model, [{ name: '', tensor: tensor(storage('0', 4), []), parameter: false }], files);
  assert.deepEqual(paths(model), ['tensor.bin']);
});

test('/checkpoint shows dicts as folders, scalars as documents and the tensors of /model as the same inodes', () => {
  const { table, files, model, checkpoint } = rooms();
  const weight = tensor(storage('0', 24), [2, 3]);
  addModelRoom(table, model, [{ name: 'fc.weight', tensor: weight, parameter: true }], files);
  const betas = new PyTuple([new PyFloat(0.9), new PyFloat(0.999)]);
  const group = dict({ lr: new PyFloat(0.1), betas });
  const groups = new PyList();
  groups.items.push(group);
  const state = new PyDict();
  state.set(0, dict({ step: 5, exp_avg: tensor(storage('1', 24), [2, 3]) }));
  const root = dict({
    epoch: 3,
    model: dict({ 'fc.weight': weight }),
    optimizer: dict({ state, param_groups: groups }),
  });
  addCheckpointRoom(table, checkpoint, root, sources(files));
  assert.deepEqual(paths(checkpoint), [
    'epoch.json',
    'model/',
    'model/fc/',
    'model/fc/weight.bin',
    'optimizer/',
    'optimizer/state/',
    'optimizer/state/0/',
    'optimizer/state/0/step.json',
    'optimizer/state/0/exp_avg.bin',
    'optimizer/param_groups/',
    'optimizer/param_groups/0/',
    'optimizer/param_groups/0/lr.json',
    'optimizer/param_groups/0/betas.json',
  ]);
  assert.equal(at(checkpoint, 'model/fc/weight.bin'), at(model, 'fc/weight.bin'));
  assert.equal(atOnce(files.paths())(weight), '/model/fc/weight.bin');
});

test('a folder and a file that want one name stay apart in /checkpoint', () => {
  const { table, files, checkpoint } = rooms();
  const root = dict({ 'a.bin': dict({ x: 1 }), a: tensor(storage('0', 4), [1]), 'a.json': dict({ y: 1 }) });
  root.set('a%', 1);
  addCheckpointRoom(table, checkpoint, root, sources(files));
  assert.deepEqual(paths(checkpoint), [
    'a.bin/',
    'a.bin/x.json',
    'a%~2.bin',
    'a.json/',
    'a.json/y.json',
    'a%25.json',
  ]);
});

test('an object that contains itself ends in a reference', () => {
  const { table, files, checkpoint } = rooms();
  const root = dict({});
  const inner = dict({ up: root });
  root.set('inner', inner);
  addCheckpointRoom(table, checkpoint, root, sources(files));
  assert.deepEqual(paths(checkpoint), ['inner/', 'inner/up.json']);
  const file = at(checkpoint, 'inner/up.json');
  assert.ok(file.kind === 'file' && file.content.kind === 'extents');
  const [extent] = file.content.extents;
  assert.ok(extent?.kind === 'inline');
  assert.equal(Buffer.from(extent.bytes).toString(), '{"same_as":"/checkpoint"}\n');
});

test('a list that doubles at each of 64 levels ends in references', () => {
  const { table, files, checkpoint } = rooms();
  let list = new PyList();
  list.items.push(1);
  for (let level = 0; level < 64; level++) {
    const next = new PyList();
    next.items.push(list, list);
    list = next;
  }
  addCheckpointRoom(table, checkpoint, dict({ bomb: list }), sources(files));
  assert.ok(table.inodeCount < 250_000, `${table.inodeCount} inodes`);
});

test('an object is a folder of its attributes when one of them is larger than a scalar', () => {
  const { table, files, checkpoint } = rooms();
  const object = new PyObject(new PyGlobal('m', 'C'), new PyTuple([]));
  object.state = dict({ lr: 1, w: tensor(storage('0', 4), [1]) });
  const flat = new PyObject(new PyGlobal('m', 'D'), new PyTuple([]));
  flat.state = dict({ lr: 1 });
  addCheckpointRoom(table, checkpoint, dict({ object, flat }), sources(files));
  assert.deepEqual(paths(checkpoint), [
    'object/',
    'object/__class__.json',
    'object/lr.json',
    'object/w.bin',
    'flat.json',
  ]);
});

test('an object that is a folder keeps its class, its arguments, its keywords and a state that is no dict', () => {
  const { table, files, checkpoint } = rooms();
  const object = new PyObject(new PyGlobal('m', 'C'), new PyTuple([1, 'x']), dict({ rate: 2 }));
  object.state = new PyTuple([tensor(storage('0', 4), [1])]);
  const counted = dict({ a: 1 });
  counted.className = 'collections.Counter';
  addCheckpointRoom(table, checkpoint, dict({ object, counted }), sources(files));
  assert.deepEqual(paths(checkpoint), [
    'object/',
    'object/__class__.json',
    'object/__state__/',
    'object/__state__/0.bin',
    'object/__args__.json',
    'object/__kwargs__/',
    'object/__kwargs__/rate.json',
    'counted/',
    'counted/__class__.json',
    'counted/a.json',
  ]);
  assert.equal(documentText(checkpoint, 'object', '__class__.json'), '"m.C"\n');
  assert.equal(documentText(checkpoint, 'object', '__args__.json'), '[\n  1, "x"\n]\n');
});

test('bytes that a document does not show whole lie beside it', async () => {
  const { table, files, checkpoint } = rooms();
  const long = Buffer.from(Array.from({ length: 5000 }, (_unused, index) => index % 256));
  const values = new PyList();
  values.items.push(new PyBytes(long), 1);
  addCheckpointRoom(
    table,
    checkpoint,
    dict({ values, short: new PyBytes(long.subarray(0, 32)) }),
    sources(files),
  );
  assert.deepEqual(paths(checkpoint), [
    'values/',
    'values/0.json',
    'values/0.bin',
    'values/1.json',
    'short.json',
  ]);
  const { content } = fileAt(checkpoint, 'values', '0.bin');
  assert.ok(content.kind === 'rendered' && content.size === 5000);
  assert.deepEqual(Buffer.from(await content.read(100, 10_000)), long.subarray(100));
});

test('NumPy scalars are numbers, and what torch has no dtype for is described, with its bytes', () => {
  const { table, files, checkpoint } = rooms();
  const integer = numpyDtype('i8', ['<', 8]);
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(-(2n ** 63n));
  const step = new PyObject(
    new PyGlobal('numpy.core.multiarray', 'scalar'),
    new PyTuple([integer, new PyBytes(bytes)]),
  );
  const list = new PyList();
  list.items.push(step, 1);
  const text = new PyObject(
    new PyGlobal('numpy.core.multiarray', '_reconstruct'),
    new PyTuple([new PyGlobal('numpy', 'ndarray'), new PyTuple([0]), new PyBytes(Buffer.from('b'))]),
  );
  const letters = Buffer.from('a\0\0\0b\0\0\0'.repeat(5));
  text.state = new PyTuple([1, new PyTuple([5]), numpyDtype('U2', ['<', 8]), false, new PyBytes(letters)]);
  addCheckpointRoom(table, checkpoint, dict({ step, list, text }), sources(files));
  assert.deepEqual(paths(checkpoint), ['step.json', 'list.json', 'text.json', 'text.bin']);
  assert.equal(documentText(checkpoint, 'step.json'), '-9223372036854775808\n');
  assert.equal(documentText(checkpoint, 'list.json'), '[\n  -9223372036854775808, 1\n]\n');
  assert.equal(
    documentText(checkpoint, 'text.json'),
    '{"$numpy": "<U2", "shape": [5], "values": ["ab", "ab", "ab", "ab", "ab"]}\n',
  );
});

test('buffers get no gradient', () => {
  const float = tensor(storage('0', 4), [1]);
  assert.equal(looksLikeParameter('bn.running_var', float, false), false);
  assert.equal(looksLikeParameter('fc.weight', float, false), true);
  assert.equal(looksLikeParameter('fc.weight', float, true), false);
  assert.equal(
    looksLikeParameter('fc.weight', tensor(storage('0', 4), [1], { isParameter: true }), true),
    true,
  );
  assert.equal(looksLikeParameter('index', tensor(storage('0', 4), [1], { dtype: 'int64' }), false), false);
});

test('nodeids are dense and what a file is made of is worked out once, at the first look', () => {
  const table = new InodeTable(0);
  let looks = 0;
  const file = table.add(table.root, 'f', {
    content: () => {
      looks++;
      return { kind: 'extents', size: 0, extents: [] };
    },
  });
  assert.equal(looks, 0);
  assert.equal(file.content, file.content);
  assert.equal(looks, 1);
  assert.equal(table.get(1), table.root);
  assert.equal(table.get(2), file);
  assert.equal(table.get(3), undefined);
});

test('a state dict is outlined like a module', () => {
  const text = atOnce(
    outlineInSlices('StateDict', [
      { name: 'conv.weight', tensor: tensor(storage('0', 24), [2, 3]), parameter: true },
      { name: 'scale', tensor: tensor(storage('1', 4), []), parameter: true },
    ]),
  );
  assert.equal(
    Buffer.from(text).toString(),
    'StateDict(\n  (scale): float32 []\n  (conv): (\n    (weight): float32 [2, 3]\n  )\n)\n',
  );
});

test('a storage that was saved by itself is written as it lies, where the room can be written', () => {
  for (const writable of [true, false]) {
    const table = new InodeTable(1000);
    const files = new TensorFiles(table, { cache: new RenderedPages(1 << 20), writable });
    const room = table.room('checkpoint', writable);
    addCheckpointRoom(table, room, dict({ raw: storage('0', 24), scalar: 1 }), sources(files));
    const file = at(room, 'raw.bin');
    assert.ok(file.kind === 'file' && file.content.kind === 'extents');
    assert.equal(file.mode, writable ? 0o644 : 0o444);
    assert.equal(file.content.writer?.image, IMAGE);
    assert.equal(at(room, 'scalar.json').mode, 0o444);
  }
});

test('a storage that was saved by itself says where it lies, as a tensor of all of it would', () => {
  const xattrs = storageXattrs({ ...storage('1', 24), dtype: undefined });
  assert.deepEqual(Object.fromEntries(xattrs), {
    'user.mlfs.dtype': 'uint8',
    'user.mlfs.shape': '24',
    'user.mlfs.stride': '1',
    'user.mlfs.storage': '1',
    'user.mlfs.offset': String(1024 + 4096),
    'user.mlfs.dirty': '0',
  });
  assert.equal(storageXattrs(storage('1', 24)).get('user.mlfs.shape'), '6');
});
