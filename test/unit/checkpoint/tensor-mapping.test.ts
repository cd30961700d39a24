import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { PyDict } from '../../../src/checkpoint/pickle/values.ts';
import type { DType } from '../../../src/checkpoint/tensor.ts';
import { mapTensor } from '../../../src/checkpoint/tensor-mapping.ts';
import { type TensorToWrite, tensorToWrite, writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { openCheckpoint } from '../../../src/index.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image } from '../../../src/storage/image.ts';
import { readFixtures } from '../../support/fixtures.ts';
import { requires } from '../../support/requires.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const NEEDS = requires('addon');

function bytesOf(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => (index * 7) % 251));
}

const DTYPES: readonly [DType, number, string | undefined][] = [
  ['float32', 4, 'Float32Array'],
  ['float64', 8, 'Float64Array'],
  ['int8', 1, 'Int8Array'],
  ['int16', 2, 'Int16Array'],
  ['int32', 4, 'Int32Array'],
  ['int64', 8, 'BigInt64Array'],
  ['uint8', 1, 'Uint8Array'],
  ['uint16', 2, 'Uint16Array'],
  ['uint32', 4, 'Uint32Array'],
  ['uint64', 8, 'BigUint64Array'],
  ['float16', 2, 'Float16Array' in globalThis ? 'Float16Array' : undefined],
  ['bfloat16', 2, undefined],
  ['bool', 1, undefined],
  ['complex64', 8, undefined],
];

async function everyDtype(t: TestContext): Promise<string> {
  const path = join(await temporaryDirectory(t), 'model.pt');
  await writeTorchZip(path, {
    tensors: DTYPES.map(([dtype, itemsize]) => ({
      name: dtype,
      dtype,
      shape: [2, 50],
      fill: bytesOf(100 * itemsize),
    })),
  });
  return path;
}

test('a mapping is the exact bytes, and an array where JavaScript has one of the dtype', NEEDS, async (t) => {
  await using checkpoint = await openCheckpoint(await everyDtype(t));
  for (const [dtype, itemsize, name] of DTYPES) {
    for (const intent of [undefined, 'sequential', 'random', 'willNeed'] as const) {
      using mapping = checkpoint.map(dtype, { mode: 'r', intent });
      assert.deepEqual(Buffer.from(mapping.bytes), bytesOf(100 * itemsize));
      assert.equal(mapping.array?.constructor.name, name, dtype);
      assert.equal(mapping.array?.length, name === undefined ? undefined : 100);
      assert.equal(mapping.guarded, true);
      mapping.check();
    }
  }
});

test('float16 is a Float16Array where the engine has one', NEEDS, async (t) => {
  await using checkpoint = await openCheckpoint(await everyDtype(t));
  const engine = globalThis as { Float16Array?: unknown };
  const own = engine.Float16Array;
  t.after(() => {
    if (own === undefined) delete engine.Float16Array;
    else engine.Float16Array = own;
  });
  class Float16Array extends Uint16Array {}
  engine.Float16Array = Float16Array;
  using mapping = checkpoint.map('float16', { mode: 'r' });
  assert.equal(mapping.array?.constructor, Float16Array);
});

test(
  'a window is cut at the end of the tensor, and has an array if it is whole elements',
  NEEDS,
  async (t) => {
    await using checkpoint = await openCheckpoint(await everyDtype(t));
    const window = (offset: number, length?: number) => {
      const mapping = checkpoint.map('float32', {
        mode: 'r',
        offset,
        ...(length === undefined ? {} : { length }),
      });
      return [Buffer.from(mapping.bytes), mapping.array?.length];
    };
    const all = bytesOf(400);
    assert.deepEqual(window(8, 40), [all.subarray(8, 48), 10]);
    assert.deepEqual(window(9, 40), [all.subarray(9, 49), undefined]);
    assert.deepEqual(window(8, 41), [all.subarray(8, 49), undefined]);
    assert.deepEqual(window(396, 1000), [all.subarray(396), 1]);
    assert.deepEqual(window(100), [all.subarray(100), 75]);
    for (const offset of [0, 400]) assert.deepEqual(window(offset, 0), [Buffer.alloc(0), 0]);
    for (const range of [{ offset: 401 }, { offset: -1 }, { offset: 0.5 }, { length: -1 }, { length: 1.5 }]) {
      assert.throws(() => checkpoint.map('float32', { mode: 'r', ...range }), { code: 'ERR_MLFS_USAGE' });
    }
  },
);

test('a tensor at a place that its elements do not fit has bytes and no array', NEEDS, async (t) => {
  const path = join(await temporaryDirectory(t), 'odd.safetensors');
  const header = JSON.stringify({
    a: { dtype: 'U8', shape: [3], data_offsets: [0, 3] },
    b: { dtype: 'F32', shape: [2], data_offsets: [3, 11] },
  }).padEnd(160);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await writeFile(path, Buffer.concat([length, Buffer.from(header), bytesOf(11)]));
  await using checkpoint = await openCheckpoint(path);
  using mapping = checkpoint.map('b', { mode: 'r' });
  assert.deepEqual(Buffer.from(mapping.bytes), bytesOf(11).subarray(3));
  assert.equal((checkpoint.get('b')?.fileOffset ?? 0) % 4, 3);
  assert.equal(mapping.array, undefined);
  using first = checkpoint.map('a', { mode: 'r' });
  assert.equal(first.array?.length, 3);
});

test('an empty tensor maps nothing', NEEDS, async (t) => {
  const path = join(await temporaryDirectory(t), 'model.pt');
  await writeTorchZip(path, {
    tensors: [{ name: 'empty', dtype: 'float32', shape: [0, 3], fill: Buffer.alloc(0) }],
  });
  await using checkpoint = await openCheckpoint(path);
  using mapping = checkpoint.map('empty', { mode: 'r' });
  assert.deepEqual([mapping.bytes.length, mapping.array?.length, mapping.torn], [0, 0, false]);
  assert.equal(checkpoint.view('empty').length, 0);
});

test('after close no array reaches the memory, and the mapping says that it is closed', NEEDS, async (t) => {
  await using checkpoint = await openCheckpoint(await everyDtype(t));
  const mapping = checkpoint.map('float32', { mode: 'r' });
  const { bytes, array } = mapping;
  const part = bytes.subarray(10, 20);
  assert.equal(part.length, 10);
  mapping.close();
  mapping.close();
  assert.deepEqual(
    [bytes.length, bytes.buffer.byteLength, part.length, part[0], array?.length],
    [0, 0, 0, undefined, 0],
  );
  for (const use of [() => mapping.bytes, () => mapping.array]) {
    assert.throws(use, { code: 'ERR_MLFS_USAGE' });
  }
  assert.equal(mapping.torn, false);
  mapping.check();
});

/** How many mappings of this process show a file. */
function mapsOf(path: string): number {
  return readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.endsWith(path)).length;
}

test(
  'close and Symbol.dispose release the memory at once, and a mapping outlives its checkpoint',
  NEEDS,
  async (t) => {
    const path = await everyDtype(t);
    const checkpoint = await openCheckpoint(path);
    const first = checkpoint.map('float32', { mode: 'r' });
    {
      using second = checkpoint.map('float64', { mode: 'r' });
      await checkpoint.close();
      assert.equal(second.bytes[1], 7);
      assert.equal(mapsOf(path), 2);
      second.check();
    }
    assert.equal(mapsOf(path), 1);
    first.close();
    assert.equal(mapsOf(path), 0);
    assert.throws(() => checkpoint.map('float32', { mode: 'r' }), { code: 'ERR_MLFS_IO', message: /closed/ });
  },
);

test(
  'mode c writes into a private copy, as a view does, and an unknown mode or intent is refused',
  NEEDS,
  async (t) => {
    const path = await everyDtype(t);
    const before = await readFile(path);
    await using checkpoint = await openCheckpoint(path);
    using mapping = checkpoint.map('float32', { mode: 'c' });
    mapping.bytes.fill(9);
    assert.equal(mapping.bytes[399], 9);
    const view = checkpoint.view('float32');
    assert.deepEqual(view, bytesOf(400));
    view.fill(8);
    assert.deepEqual(await checkpoint.readTensor('float32'), bytesOf(400));
    assert.deepEqual(await readFile(path), before);
    for (const mode of ['w', undefined]) {
      assert.throws(() => checkpoint.map('float32', { mode: mode as 'r' }), { code: 'ERR_MLFS_USAGE' });
    }
    assert.throws(() => checkpoint.map('float32', { mode: 'r', intent: 'fast' as 'random' }), {
      code: 'ERR_MLFS_USAGE',
    });
    assert.throws(() => checkpoint.map('float32', undefined as never), { code: 'ERR_MLFS_USAGE' });
  },
);

test('a mapping shows what another program writes into the file', NEEDS, async (t) => {
  const path = await everyDtype(t);
  await using checkpoint = await openCheckpoint(path);
  using shared = checkpoint.map('uint8', { mode: 'r' });
  using copy = checkpoint.map('uint8', { mode: 'c' });
  const file = await open(path, 'r+');
  await file.write(Buffer.from([99]), 0, 1, checkpoint.get('uint8')?.fileOffset);
  await file.close();
  assert.deepEqual([shared.bytes[0], copy.bytes[0]], [99, 99]);
});

test('what does not lie in the file in one piece is refused, with what to do instead', NEEDS, async (t) => {
  const path = join(await temporaryDirectory(t), 'model.pt');
  const root = new PyDict();
  const plain = tensorToWrite('float32', [2, 3], bytesOf(24));
  root.set('plain', plain);
  const transposed: TensorToWrite = { ...plain, shape: [3, 2], stride: [1, 3] };
  root.set('transposed', transposed);
  const expanded: TensorToWrite = { ...plain, shape: [5, 3], stride: [0, 1] };
  root.set('expanded', expanded);
  const row: TensorToWrite = { ...plain, shape: [3], stride: [1], storageOffset: 3 };
  root.set('row', row);
  await writeTorchZip(path, { root });
  await using checkpoint = await openCheckpoint(path);
  using mapping = checkpoint.map('row', { mode: 'r' });
  assert.deepEqual(Buffer.from(mapping.bytes), bytesOf(24).subarray(12));
  for (const name of ['transposed', 'expanded']) {
    assert.throws(() => checkpoint.map(name, { mode: 'r' }), {
      code: 'ERR_MLFS_USAGE',
      message: /not contiguous/,
      advice: /readTensor/,
    });
  }
  assert.throws(() => checkpoint.map('none', { mode: 'r' }), { code: 'ERR_MLFS_NOT_FOUND' });
});

test('compressed, big-endian and conjugated tensors say why they cannot be mapped', NEEDS, async () => {
  const kinds = new Set<string>();
  for (const { path } of readFixtures()) {
    await using checkpoint = await openCheckpoint(path);
    for (const { name } of checkpoint.tensors) {
      try {
        checkpoint.map(name, { mode: 'r' }).close();
      } catch (error) {
        const { code, message } = error as { code: string; message: string };
        assert.match(code, /^ERR_MLFS_(USAGE|STORAGE|TENSOR)$/, message);
        for (const kind of [
          'compressed',
          'big-endian',
          'computed',
          'no bytes in this file',
          'not contiguous',
        ]) {
          if (message.includes(kind)) kinds.add(kind);
        }
      }
    }
  }
  assert.deepEqual([...kinds].sort(), [
    'big-endian',
    'compressed',
    'computed',
    'no bytes in this file',
    'not contiguous',
  ]);
});

test('a file that was truncated before is refused', NEEDS, async (t) => {
  const path = await everyDtype(t);
  await using checkpoint = await openCheckpoint(path);
  await truncate(path, (checkpoint.get('int64')?.fileOffset ?? 0) + 10);
  assert.throws(() => checkpoint.map('int64', { mode: 'r' }), { code: 'ERR_MLFS_TRUNCATED', path });
  using mapping = checkpoint.map('int64', { mode: 'r', length: 10 });
  assert.equal(mapping.bytes[1], 7);
});

test('edits that are not committed are refused where the image has them', NEEDS, async (t) => {
  const path = await everyDtype(t);
  const source = await FileSource.open(path);
  t.after(() => source.close());
  const image = new Image(source);
  image.overlay.set(1000, 10, { file: source, fileOffset: 0 } as never, new Set());
  const tensor = {
    type: 'tensor',
    dtype: 'uint8',
    shape: [100],
    stride: [1],
    storageOffset: 0,
    requiresGrad: false,
    isParameter: false,
    storage: { key: '0', bytes: { kind: 'extent', image, offset: 990, length: 100 }, byteorder: 'little' },
  } as never;
  const content = {
    kind: 'extents',
    size: 100,
    extents: [{ kind: 'image', image, offset: 990, length: 100 }],
  } as const;
  assert.throws(() => mapTensor('edited', tensor, content, 0, 100, { mode: 'r' }), {
    code: 'ERR_MLFS_USAGE',
    message: /not committed/,
  });
  mapTensor('edited', tensor, content, 20, 80, { mode: 'r' }).close();
});
