import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { PyDict } from '../../src/checkpoint/pickle/values.ts';
import { type TensorToWrite, tensorToWrite, writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { MlfsError, openCheckpoint } from '../../src/index.ts';
import { temporaryDirectory } from '../support/tmp.ts';
import { assemble, global, int, storage, tensor, text } from './checkpoint/pickle/assembler.ts';
import { torchZip } from './checkpoint/torch/torch-files.ts';

const VALUES = Buffer.from(Float32Array.from({ length: 6 }, (_, index) => index).buffer);

async function file(t: TestContext): Promise<string> {
  const path = join(await temporaryDirectory(t), 'model.pt');
  const plain = tensorToWrite('float32', [2, 3], VALUES);
  const root = new PyDict();
  root.set('plain', plain);
  const transposed: TensorToWrite = { ...plain, shape: [3, 2], stride: [1, 3] };
  root.set('transposed', transposed);
  root.set(
    'large',
    tensorToWrite('uint8', [5 << 20], { ranges: [{ offset: (5 << 20) - 1, bytes: Buffer.from([9]) }] }),
  );
  await writeTorchZip(path, { root });
  return path;
}

test('a checkpoint lists its tensors and reads one without a mount', async (t) => {
  await using checkpoint = await openCheckpoint(await file(t));
  assert.equal(checkpoint.format, 'torch-zip');
  assert.deepEqual(
    checkpoint.tensors.map(({ name, dtype, shape, nbytes }) => [name, dtype, shape, nbytes]),
    [
      ['plain', 'float32', [2, 3], 24],
      ['transposed', 'float32', [3, 2], 24],
      ['large', 'uint8', [5 << 20], 5 << 20],
    ],
  );
  assert.deepEqual(await checkpoint.readTensor('plain'), VALUES);
  const transposed = await checkpoint.readTensor('transposed');
  assert.deepEqual([...new Float32Array(new Uint8Array(transposed).buffer)], [0, 3, 1, 4, 2, 5]);
  assert.equal(checkpoint.get('plain')?.fileOffset, checkpoint.get('transposed')?.fileOffset ?? 0);
  assert.equal(checkpoint.get('none'), undefined);
});

test('below the model is the whole of it, and what was left out of it', async (t) => {
  const path = join(await temporaryDirectory(t), 'train.pt');
  const part = (key: string) => tensor(storage(key, 4), 0, [4], [1]);
  const module = assemble(
    assemble(global('torch.nn.modules.linear', 'Linear'), 'EMPTY_TUPLE', 'NEWOBJ'),
    assemble('EMPTY_DICT', 'MARK', text('_parameters'), 'EMPTY_DICT', text('weight'), part('0'), 'SETITEM'),
    assemble(text('_modules'), 'EMPTY_DICT', text('tmp'), part('1'), 'SETITEMS', 'BUILD'),
  );
  const root = assemble(
    'EMPTY_DICT',
    'MARK',
    text('model'),
    module,
    text('epoch'),
    int(3),
    'SETITEMS',
    'STOP',
  );
  const bytes = new Uint8Array(16);
  await writeFile(path, torchZip(root, { 0: bytes, 1: bytes }));
  await using checkpoint = await openCheckpoint(path);
  const below = (name: string) => checkpoint.below(name).map((tensor) => tensor.name);
  assert.deepEqual(below('model'), ['weight', 'model.tmp']);
  assert.deepEqual(below('model.weight'), ['weight']);
  assert.deepEqual(below('model.tmp'), ['model.tmp']);
});

test('a range is read exactly, and cut at the end of the tensor', async (t) => {
  await using checkpoint = await openCheckpoint(await file(t));
  assert.deepEqual(await checkpoint.read('plain', { offset: 5, length: 7 }), VALUES.subarray(5, 12));
  assert.deepEqual(await checkpoint.read('plain', { offset: 20, length: 100 }), VALUES.subarray(20));
  assert.equal((await checkpoint.read('plain', { offset: 24 })).length, 0);
  const large = await checkpoint.readTensor('large');
  assert.equal(large.length, 5 << 20);
  assert.equal(large.at(-1), 9);
  for (const range of [
    { offset: 25 },
    { offset: -1 },
    { offset: 0.5 },
    { length: -1 },
    { length: Number.NaN },
  ]) {
    await assert.rejects(checkpoint.read('plain', range), { code: 'ERR_MLFS_USAGE' });
  }
});

test('a large tensor streams in pieces of at most 1 MiB', async (t) => {
  await using checkpoint = await openCheckpoint(await file(t));
  const sizes: number[] = [];
  for await (const piece of checkpoint.stream('large', { offset: 10 })) sizes.push(piece.length);
  assert.equal(
    sizes.reduce((sum, size) => sum + size, 0),
    (5 << 20) - 10,
  );
  assert.ok(sizes.every((size) => size <= 1 << 20));
});

test('an unknown name and an unknown file say what is wrong', async (t) => {
  await using checkpoint = await openCheckpoint(await file(t));
  await assert.rejects(checkpoint.readTensor('none'), { code: 'ERR_MLFS_NOT_FOUND' });
  await assert.rejects(
    openCheckpoint('/nonexistent.pt'),
    (error: unknown) => error instanceof MlfsError && error.exitCode === 1,
  );
});
