import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '../../../../src/errors.ts';
import { assemble, global, int, storage, tensor, text, tuple, u32 } from '../pickle/assembler.ts';

import { count, floats, legacy, onlyTensor, open, pickle, refusal } from './torch-files.ts';

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
