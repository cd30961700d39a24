import assert from 'node:assert/strict';
import { test } from 'node:test';
import { valueToJson } from '../../../../src/checkpoint/json.ts';
import { findStateDict } from '../../../../src/checkpoint/state-dict.ts';
import type { ErrorCode } from '../../../../src/errors.ts';
import { buildZip, DEFLATED } from '../../../hostile/zip-builder.ts';
import { assemble, global, int, storage, tensor, text } from '../pickle/assembler.ts';

import { open, pickle, refusal, torchZip } from './torch-files.ts';

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

test('TorchScript of torch 1.0 is a tree of its model.json', async (t) => {
  const model = {
    protoVersion: '3',
    mainModule: {
      name: 'Net',
      submodules: [{ name: 'fc', parameters: [{ name: 'weight' }, { name: 'bias', tensorId: '1' }] }],
      attributes: [{ name: 'k' }],
    },
    tensors: [
      {
        dims: ['2', '2'],
        strides: ['1', '2'],
        dataType: 'FLOAT',
        requiresGrad: true,
        data: { key: 'tensors/0' },
        device: 'cpu',
      },
      {
        dims: ['2'],
        offset: '1',
        strides: ['1'],
        dataType: 'INT64',
        data: { key: 'tensors/1' },
        device: 'cuda:0',
      },
    ],
  };
  const zip = buildZip([
    { name: 'net/version', content: Buffer.from('1') },
    { name: 'net/code/net.py', content: Buffer.from('def forward(self): pass') },
    { name: 'net/tensors/0', content: new Uint8Array(16) },
    { name: 'net/tensors/1', content: new Uint8Array(24) },
    { name: 'net/attributes.pkl', content: pickle(int(5), 'TUPLE1') },
    { name: 'net/model.json', content: Buffer.from(JSON.stringify(model)) },
  ]);
  const checkpoint = await open(t, zip);
  assert.equal(checkpoint.format, 'torchscript');
  assert.deepEqual(
    checkpoint.tensors.map(({ path, tensor: own }) => [
      path.join('/'),
      own.dtype,
      own.stride,
      own.storageOffset,
      own.storage.location,
    ]),
    [
      ['<state>/fc/<state>/weight', 'float32', [1, 2], 0, 'cpu'],
      ['<state>/fc/<state>/bias', 'int64', [1], 1, 'cuda:0'],
    ],
  );
  assert.deepEqual([...(findStateDict(checkpoint.root)?.names.keys() ?? [])], ['fc.weight', 'fc.bias']);
  assert.deepEqual(JSON.parse(valueToJson(checkpoint.root)).state.k, 5);
});

test('tensors that attributes.pkl refers to by number are those of the table', async (t) => {
  const record = { dims: ['2'], strides: ['1'], dataType: 'FLOAT' };
  const model = {
    mainModule: {
      parameters: [{ name: 'w', tensorId: '0' }],
      attributes: [
        { name: 'scale' },
        { name: 'steps', id: '1' },
        { name: 'old', id: '2' },
        { name: 'oldSteps', id: '3' },
      ],
    },
    tensors: [0, 1, 2, 3].map((index) => ({ ...record, data: { key: `tensors/${index}` } })),
  };
  const byId = (id: number) =>
    assemble(global('torch.jit._pickle', 'build_tensor_from_id'), int(id), 'TUPLE1', 'REDUCE');
  // As torch 1.0 did.
  const byObject = (id: number) =>
    assemble(global('__main__', 'TensorID'), 'EMPTY_TUPLE', 'NEWOBJ', int(id), 'BUILD');
  const attributes = pickle(
    assemble('MARK', byId(1), 'EMPTY_LIST', byId(2), 'APPEND'),
    assemble(byObject(3), 'EMPTY_LIST', byObject(0), 'APPEND', 'TUPLE'),
  );
  const zip = buildZip([
    { name: 'net/version', content: Buffer.from('1') },
    { name: 'net/code/net.py', content: Buffer.from('def forward(self): pass') },
    ...[0, 1, 2, 3].map((index) => ({ name: `net/tensors/${index}`, content: new Uint8Array(8) })),
    { name: 'net/attributes.pkl', content: attributes },
    { name: 'net/model.json', content: Buffer.from(JSON.stringify(model)) },
  ]);
  const checkpoint = await open(t, zip);
  const names = findStateDict(checkpoint.root)?.names;
  // The list repeats `w`, which has a name.
  assert.deepEqual([...(names?.keys() ?? [])], ['w', 'scale', 'old', 'steps.0']);
  assert.deepEqual(
    Array.from(names?.values() ?? [], ({ storage: { key } }) => key),
    ['tensors/0', 'tensors/1', 'tensors/3', 'tensors/2'],
  );
});

const pt2 = (config: object, record: Uint8Array) =>
  buildZip([
    { name: 'x/data/weights/weight_0', content: record },
    { name: 'x/data/weights/model_weights_config.json', content: Buffer.from(JSON.stringify({ config })) },
    { name: 'x/data/constants/model_constants_config.json', content: Buffer.from('{"config": {}}') },
    { name: 'x/models/model.json', content: Buffer.from('{}') },
    { name: 'x/archive_format', content: Buffer.from('pt2') },
  ]);

const weight = (sizes: readonly number[]) => ({
  path_name: 'weight_0',
  is_param: true,
  use_pickle: false,
  tensor_meta: {
    dtype: 13,
    sizes: sizes.map((as_int) => ({ as_int })),
    strides: [{ as_int: 1 }],
    storage_offset: { as_int: 0 },
    requires_grad: true,
    device: { type: 'cpu', index: null },
  },
});

test('the weights of an exported program are its state dict', async (t) => {
  const config = {
    'fc.weight': weight([3]),
    tied: weight([2]),
    packed: { ...weight([3]), use_pickle: true },
  };
  const checkpoint = await open(t, pt2(config, new Uint8Array(6)), 'x.pt2');
  assert.equal(checkpoint.format, 'torch-export');
  const [first, second] = checkpoint.tensors;
  assert.deepEqual([first?.path, second?.path], [['fc.weight'], ['tied']]);
  assert.deepEqual(
    [first?.tensor.dtype, first?.tensor.isParameter, first?.tensor.shape],
    ['bfloat16', true, [3]],
  );
  assert.equal(first?.tensor.storage, second?.tensor.storage);
  assert.match(
    checkpoint.warnings[0]?.message ?? '',
    /"packed" in data\/weights\/.* is not a plain tensor and is not shown/,
  );
});

const badExports: [name: string, code: ErrorCode, config: object, message: RegExp][] = [
  [
    'a weight that leaves its record',
    'ERR_MLFS_TENSOR',
    { w: weight([4]) },
    /tensor "w": .* reach byte 8 of a storage of 6 bytes/,
  ],
  ['a fractional size', 'ERR_MLFS_TENSOR', { w: weight([1.5]) }, /tensor "w": its shape has 1.5 in it/],
  [
    'a record that is not there',
    'ERR_MLFS_STORAGE',
    { w: { ...weight([3]), path_name: '../weight_9' } },
    /tensor "w" is in entry "x\/data\/weights\/\.\.\/weight_9", which is not there/,
  ],
];

for (const [name, code, config, message] of badExports) {
  test(`an exported program is refused: ${name}`, async (t) => {
    const error = await refusal(t, pt2(config, new Uint8Array(6)));
    assert.equal(error.code, code);
    assert.match(error.message, message);
  });
}

test('a weight whose name is longer than any tensor may have is refused', async (t) => {
  const longest = { ['w'.repeat(8192)]: weight([3]) };
  const checkpoint = await open(t, pt2(longest, new Uint8Array(6)), 'x.pt2');
  assert.equal(checkpoint.tensors[0]?.path[0]?.length, 8192);
  for (const name of ['w'.repeat(8193), `${'é'.repeat(8193)}`, `\\"${'\n'.repeat(9000)}`]) {
    const error = await refusal(t, pt2({ [name]: weight([3]) }, new Uint8Array(6)));
    assert.equal(error.code, 'ERR_MLFS_LIMIT');
    assert.match(error.message, /_config\.json" has a key of more than 8192 characters/);
  }
  // As long in the file, but not as long once its escapes are read; and a long text that is no key.
  const short = { ['\n'.repeat(8000)]: weight([3]), x: { ...weight([3]), comment: 'x'.repeat(9000) } };
  assert.equal((await open(t, pt2(short, new Uint8Array(6)), 'x.pt2')).tensors.length, 2);
});

test('thousands of long keys of one length are refused at once', async (t) => {
  const config = Object.fromEntries(
    Array.from({ length: 1500 }, (_unused, index) => [`${'k'.repeat(17_000)}${1000 + index}`, 0]),
  );
  const zip = pt2(config, new Uint8Array(6));
  const before = process.cpuUsage();
  assert.equal((await refusal(t, zip)).code, 'ERR_MLFS_LIMIT');
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 2e6, `${(user + system) / 1e6} s of processor time`);
});

test('a name of an old script that is longer than any may be is refused', async (t) => {
  const model = { mainModule: { submodules: [{ name: 'm'.repeat(8193) }] } };
  const zip = buildZip([{ name: 'm/model.json', content: Buffer.from(JSON.stringify(model)) }]);
  const error = await refusal(t, zip);
  assert.equal(error.code, 'ERR_MLFS_LIMIT');
  assert.match(error.message, /model\.json: has a name of more than 8192 characters/);
});

test('a model.json that is no JSON is refused by its entry', async (t) => {
  const zip = buildZip([{ name: 'm/model.json', content: Buffer.from('{') }]);
  assert.match((await refusal(t, zip)).message, /entry "m\/model\.json" is not JSON/);
});
