import assert from 'node:assert/strict';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { DTYPES, type DType, numel, type Storage, type Tensor } from '../../../src/checkpoint/tensor.ts';
import { rawStorageContent, storedAt, tensorContent } from '../../../src/checkpoint/tensor-content.ts';
import type { Content, ExtentContent } from '../../../src/storage/content.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image } from '../../../src/storage/image.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const OFFSET = 64;
const cache = () => new RenderedPages(64 * 1024 * 1024);

async function imageOf(path: string, bytes: Uint8Array): Promise<Image> {
  await writeFile(path, Buffer.concat([Buffer.alloc(OFFSET, 0xee), bytes, Buffer.alloc(9, 0xee)]));
  return new Image(await FileSource.open(path));
}

function storageOf(image: Image, length: number, more: Partial<Storage> = {}): Storage {
  return {
    type: 'storage',
    key: '0',
    dtype: undefined,
    nbytes: length,
    location: 'cpu',
    bytes: { kind: 'extent', image, offset: OFFSET, length },
    byteorder: 'little',
    ...more,
  };
}

function tensorOf(storage: Storage, dtype: DType, shape: number[], more: Partial<Tensor> = {}): Tensor {
  const stride = shape.map((_, dim) => shape.slice(dim + 1).reduce((a, b) => a * b, 1));
  return {
    type: 'tensor',
    dtype,
    shape,
    stride,
    storageOffset: 0,
    storage,
    requiresGrad: false,
    isParameter: false,
    ...more,
  };
}

/** Reads a range of any content the way a mount would. */
async function read(content: Content, offset: number, length: number): Promise<Buffer> {
  if (content.kind === 'rendered') return Buffer.from(await content.read(offset, length));
  assert.ok(content.kind === 'extents');
  const parts: Buffer[] = [];
  let at = 0;
  for (const extent of content.extents) {
    assert.ok(extent.kind === 'image');
    const start = Math.max(offset, at);
    const end = Math.min(offset + length, at + extent.length);
    if (start < end) parts.push(await extent.image.read(extent.offset + start - at, end - start));
    at += extent.length;
  }
  assert.equal(at, content.size, "the extents' lengths add up to the size");
  return Buffer.concat(parts);
}

/** The reference: one element after the other, by the definition of a strided view. */
function naive(tensor: Tensor, storage: Uint8Array): Buffer {
  const itemsize = DTYPES[tensor.dtype];
  const count = numel(tensor);
  const complex = tensor.dtype.startsWith('complex');
  const component = complex ? itemsize / 2 : itemsize;
  const output = Buffer.alloc(count * itemsize);
  for (let index = 0; index < count; index++) {
    let rest = index;
    let at = tensor.storageOffset;
    for (let dim = tensor.shape.length - 1; dim >= 0; dim--) {
      at += (rest % (tensor.shape[dim] as number)) * (tensor.stride[dim] as number);
      rest = Math.floor(rest / (tensor.shape[dim] as number));
    }
    const element = Buffer.from(storage.slice(at * itemsize, (at + 1) * itemsize));
    for (let part = 0; part < itemsize; part += component) {
      const bytes = element.subarray(part, part + component);
      if (tensor.storage.byteorder === 'big') bytes.reverse();
      const imaginary = complex && part > 0;
      if ((tensor.neg === true) !== (imaginary && tensor.conj === true)) negate(bytes, tensor.dtype);
    }
    element.copy(output, index * itemsize);
  }
  return output;
}

function negate(bytes: Buffer, dtype: DType): void {
  if (/float|complex/.test(dtype)) {
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 0x80;
    return;
  }
  const value = BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
  const negated = BigInt.asUintN(bytes.length * 8, -value);
  Buffer.from(negated.toString(16).padStart(bytes.length * 2, '0'), 'hex')
    .reverse()
    .copy(bytes);
}

const dtypes = [
  'float32',
  'float64',
  'bfloat16',
  'uint8',
  'int16',
  'int64',
  'complex32',
  'complex64',
  'complex128',
] as const;

test('any strided view of any dtype, byte order and lazy bits reads as its definition says, stored and deflated', async (t) => {
  const directory = await temporaryDirectory(t);
  const plain = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 37 + (index >> 3)) & 0xff));
  const deflated = deflateRawSync(plain);
  const image = await imageOf(join(directory, 'plain.bin'), plain);
  const packed = await imageOf(join(directory, 'packed.bin'), deflated);
  t.after(() => Promise.all([image.close(), packed.close()]));
  const dim = fc.record({ size: fc.integer({ min: 1, max: 5 }), stride: fc.integer({ min: 0, max: 12 }) });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...dtypes),
      fc.array(dim, { maxLength: 4 }),
      fc.nat({ max: 20 }),
      fc.constantFrom('little', 'big'),
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      fc.nat(),
      async (dtype, dims, storageOffset, byteorder, conj, neg, isDeflated, seed) => {
        const storage = storageOf(image, plain.length, {
          byteorder,
          ...(isDeflated
            ? {
                bytes: {
                  kind: 'deflated',
                  image: packed,
                  offset: OFFSET,
                  compressedLength: deflated.length,
                  length: plain.length,
                },
              }
            : {}),
        });
        const shape = dims.map(({ size }) => size);
        const stride = dims.map(({ stride }) => stride);
        const tensor = tensorOf(storage, dtype, shape, { stride, storageOffset, conj, neg });
        const expected = naive(tensor, plain);
        const content = tensorContent(tensor, cache());
        assert.ok(content.kind === 'extents' || content.kind === 'rendered');
        assert.equal(content.size, expected.length);
        const from = seed % expected.length;
        assert.ok((await read(content, 0, expected.length + 10)).equals(expected));
        assert.ok((await read(content, from, 7)).equals(expected.subarray(from, from + 7)));
      },
    ),
    { numRuns: 300 },
  );
});

test('a contiguous little-endian tensor is one extent of the image', async (t) => {
  const image = await imageOf(join(await temporaryDirectory(t), 'x.bin'), new Uint8Array(4000));
  t.after(() => image.close());
  const tensor = tensorOf(storageOf(image, 4000), 'float32', [10, 1, 20], { storageOffset: 5 });
  const { writer, ...content } = tensorContent(tensor, cache()) as ExtentContent;
  assert.deepEqual(content, {
    kind: 'extents',
    size: 800,
    extents: [{ kind: 'image', image, offset: OFFSET + 20, length: 800 }],
  });
  assert.equal(writer?.image, image);
});

test('where a tensor is stored is said without its content, and agrees with it', async (t) => {
  const image = await imageOf(join(await temporaryDirectory(t), 'x.bin'), new Uint8Array(4000));
  t.after(() => image.close());
  const dims = fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 4 });
  let stored = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...dtypes),
      dims,
      fc.nat({ max: 200 }),
      fc.option(fc.constantFrom<Partial<Tensor>>({ conj: true }, { neg: true }, { stride: [0, 2, 1, 1] })),
      fc.constantFrom('little', 'big'),
      (dtype, shape, storageOffset, change, byteorder) => {
        const tensor = tensorOf(storageOf(image, 4000, { byteorder }), dtype, shape, {
          storageOffset,
          ...(change ?? {}),
        });
        const offset = storedAt(tensor);
        let content: Content;
        try {
          content = tensorContent(tensor, cache());
        } catch {
          assert.equal(offset, undefined, 'a tensor that is refused is nowhere');
          return;
        }
        const [extent, ...more] = content.kind === 'extents' ? content.extents : [];
        const isOne = extent?.kind === 'image' && more.length === 0;
        if (offset !== undefined) {
          stored++;
          assert.deepEqual(extent, { kind: 'image', image, offset, length: (content as ExtentContent).size });
        }
        assert.equal(offset !== undefined, isOne);
      },
    ),
    { numRuns: 1000 },
  );
  assert.ok(stored > 100, `${stored} tensors were stored as they are`);
});

test('a column block of a wide matrix is an extent a row', async (t) => {
  const bytes = Uint8Array.from({ length: 8 * 8192 }, (_, index) => (index >> 10) + index);
  const image = await imageOf(join(await temporaryDirectory(t), 'x.bin'), bytes);
  t.after(() => image.close());
  const tensor = tensorOf(storageOf(image, bytes.length), 'int16', [8, 2048], {
    stride: [4096, 1],
    storageOffset: 100,
  });
  const content = tensorContent(tensor, cache());
  assert.ok(content.kind === 'extents');
  assert.equal(content.extents.length, 8);
  assert.ok((await read(content, 0, content.size)).equals(naive(tensor, bytes)));
});

for (const [what, rows, columns, dtype] of [
  ['larger than a tile', 1500, 700, 'float32'],
  ['with a row longer than a read window', 3, 3_000_000, 'uint8'],
  ['with rows far apart', 300, 6000, 'complex128'],
] as const) {
  test(`a transposed matrix ${what} reads right, whole and at its ends`, async (t) => {
    const itemsize = DTYPES[dtype];
    const bytes = Buffer.alloc(rows * columns * itemsize);
    for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.writeUInt32LE((at * 2654435761) % 2 ** 32, at);
    const image = await imageOf(join(await temporaryDirectory(t), 'x.bin'), bytes);
    t.after(() => image.close());
    const tensor = tensorOf(storageOf(image, bytes.length), dtype, [columns, rows], { stride: [1, columns] });
    const content = tensorContent(tensor, cache());
    const whole = await read(content, 0, bytes.length);
    for (let index = 0; index < rows * columns; index += 997) {
      const from = ((index % rows) * columns + Math.floor(index / rows)) * itemsize;
      const got = whole.subarray(index * itemsize, (index + 1) * itemsize);
      assert.ok(got.equals(bytes.subarray(from, from + itemsize)), `element ${index}`);
    }
    assert.ok((await read(content, bytes.length - 5, 100)).equals(whole.subarray(-5)));
  });
}

test('a strided view that needs more than one read window a tile reads right', async (t) => {
  const bytes = Buffer.alloc(40_000_000);
  for (let index = 0; index < 10_000; index++) bytes.writeUInt32LE(index + 1, index * 4000);
  const image = await imageOf(join(await temporaryDirectory(t), 'x.bin'), bytes);
  t.after(() => image.close());
  const tensor = tensorOf(storageOf(image, bytes.length), 'int32', [10_000], { stride: [1000] });
  const whole = await read(tensorContent(tensor, cache()), 0, 40_000);
  for (let index = 0; index < 10_000; index++) assert.equal(whole.readUInt32LE(index * 4), index + 1);
});

test('offsets above 2 GiB and 4 GiB read right, through an extent and through a gather', async (t) => {
  const path = join(await temporaryDirectory(t), 'sparse.bin');
  const file = await open(path, 'w');
  for (const gibi of [2, 4, 5]) await file.write(Buffer.from([gibi, 0, 0, 1]), 0, 4, gibi * 2 ** 30 + 400);
  await file.truncate(6 * 2 ** 30);
  await file.close();
  const image = new Image(await FileSource.open(path));
  t.after(() => image.close());
  const storage = storageOf(image, 6 * 2 ** 30 - 64, {
    bytes: { kind: 'extent', image, offset: 0, length: 6 * 2 ** 30 },
  });
  const wide = tensorContent(tensorOf(storage, 'int32', [6 * 2 ** 28]), cache());
  const narrow = tensorOf(storage, 'int32', [6, 1], { stride: [2 ** 28, 1], storageOffset: 100 });
  const gathered = await read(tensorContent(narrow, cache()), 0, 24);
  for (const gibi of [2, 4, 5]) {
    assert.deepEqual([...(await read(wide, gibi * 2 ** 30 + 400, 4))], [gibi, 0, 0, 1]);
    assert.deepEqual([...gathered.subarray(gibi * 4, gibi * 4 + 4)], [gibi, 0, 0, 1]);
  }
});

test('an expanded scalar repeats its element, and a negative NaN keeps its bits', async (t) => {
  const bytes = Buffer.from('0102c0ff0102f0ff', 'hex');
  const image = await imageOf(join(await temporaryDirectory(t), 'x.bin'), bytes);
  t.after(() => image.close());
  const expanded = tensorOf(storageOf(image, 8), 'float64', [1000, 1000], { stride: [0, 0] });
  const content = tensorContent(expanded, cache());
  assert.ok((await read(content, 7_999_984, 16)).equals(Buffer.concat([bytes, bytes])));
});

test('an empty tensor has size 0 whatever its storage is', async (t) => {
  const image = await imageOf(join(await temporaryDirectory(t), 'x.bin'), new Uint8Array(0));
  t.after(() => image.close());
  const tensor = tensorOf(storageOf(image, 0), 'float32', [3, 0, 2]);
  assert.deepEqual(tensorContent(tensor, cache()), { kind: 'extents', size: 0, extents: [] });
  assert.deepEqual(rawStorageContent(storageOf(image, 0), cache()), {
    kind: 'extents',
    size: 0,
    extents: [],
  });
});

test('a tensor whose storage is not in the file has its size, and reading it says ENODATA and why', async (t) => {
  const image = await imageOf(join(await temporaryDirectory(t), 'x.bin'), new Uint8Array(0));
  t.after(() => image.close());
  const storage = storageOf(image, 64, { bytes: { kind: 'absent', reason: 'a meta tensor' } });
  for (const content of [
    tensorContent(tensorOf(storage, 'float32', [4, 4]), cache()),
    rawStorageContent(storage, cache()),
  ]) {
    assert.ok(content.kind === 'rendered' && content.size === 64);
    await assert.rejects(content.read(0, 4), {
      code: 'ERR_MLFS_STORAGE',
      errno: 'ENODATA',
      message: /meta/,
    });
  }
});

test('views that leave their storage, go backwards or exceed all sizes are refused', async (t) => {
  const image = await imageOf(join(await temporaryDirectory(t), 'x.bin'), new Uint8Array(64));
  t.after(() => image.close());
  const storage = storageOf(image, 64);
  const cases: Partial<Tensor>[] = [
    { storageOffset: 13 },
    { stride: [5, 1] },
    { stride: [-4, 1] },
    { storageOffset: -1 },
    { storageOffset: 2 ** 53 },
    { stride: [4] },
    { shape: [2 ** 40, 2 ** 40], stride: [0, 0] },
    { shape: [1.5, 2], stride: [1, 1] },
  ];
  assert.ok(tensorContent(tensorOf(storage, 'float32', [4, 4]), cache()).kind === 'extents');
  for (const change of cases) {
    const tensor = tensorOf(storage, 'float32', [4, 4], change);
    assert.throws(() => tensorContent(tensor, cache()), { code: 'ERR_MLFS_TENSOR' }, JSON.stringify(change));
  }
});

test('a storage reads as it was saved, in its own byte order', async (t) => {
  const bytes = Buffer.from('00000001', 'hex');
  const image = await imageOf(join(await temporaryDirectory(t), 'x.bin'), bytes);
  t.after(() => image.close());
  const storage = storageOf(image, 4, { byteorder: 'big' });
  assert.ok((await read(rawStorageContent(storage, cache()), 0, 4)).equals(bytes));
  const tensor = await read(tensorContent(tensorOf(storage, 'int32', [1]), cache()), 0, 4);
  assert.equal(tensor.readInt32LE(0), 1);
});
