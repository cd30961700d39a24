/** Writing through every kind of view: what the image holds afterwards is what the definition of a strided view says. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import {
  DTYPES,
  type DType,
  nbytes,
  numel,
  type Storage,
  type Tensor,
} from '../../../src/checkpoint/tensor.ts';
import { rawStorageContent, tensorContent } from '../../../src/checkpoint/tensor-content.ts';
import type { Content, ContentWriter, RenderedContent } from '../../../src/storage/content.ts';
import { extentsWriter } from '../../../src/storage/extents-writer.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image, type ImageChange, type ImageUpdate } from '../../../src/storage/image.ts';
import type { DirtyRange } from '../../../src/storage/overlay.ts';
import { readExtents } from '../../../src/storage/read-extents.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const OFFSET = 61;
const TAIL = 23;
const cache = () => new RenderedPages(64 * 1024 * 1024);

/** An image whose bytes are in memory: written at once, without a journal. */
class Scratch {
  bytes: Buffer;
  readonly image: Image;
  readonly #listeners = new Set<(change: ImageChange) => void>();

  constructor(length: number) {
    this.bytes = Buffer.from(Array.from({ length }, (_, index) => (index * 37 + (index >> 3)) & 0xff));
    const fake = {
      path: 'memory',
      size: length,
      overlay: { empty: true },
      onChange: (listener: (change: ImageChange) => void) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      read: async (offset: number, size: number) => this.read(offset, size),
    };
    this.image = fake as unknown as Image;
  }

  read(offset: number, length: number): Buffer {
    assert.ok(offset >= 0 && offset + length <= this.bytes.length, `reads ${offset}+${length}`);
    return Buffer.from(this.bytes.subarray(offset, offset + length));
  }

  /** Tells who listens to the image. */
  changed(range: DirtyRange): void {
    for (const listener of this.#listeners) listener({ ranges: [range], chunks: new Set() });
  }

  readonly update: ImageUpdate = {
    read: async (offset, length) => this.read(offset, length),
    write: async (offset, bytes) => {
      assert.ok(offset >= 0 && offset + bytes.byteLength <= this.bytes.length, `writes ${offset}`);
      this.bytes.set(bytes, offset);
    },
  };
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

async function read(content: Content, offset: number, length: number): Promise<Buffer> {
  if (content.kind === 'rendered') return Buffer.from(await content.read(offset, length));
  assert.ok(content.kind === 'extents');
  return Buffer.from(await readExtents(content.extents, offset, length));
}

function writerOf(content: Content): ContentWriter | undefined {
  assert.ok(content.kind === 'extents' || content.kind === 'rendered');
  return content.writer;
}

/** The elements of a view, as element numbers of the storage, in C order. */
function places({ shape, stride, storageOffset, ...rest }: Tensor): number[] {
  return Array.from({ length: numel({ shape, ...rest }) }, (_, index) => {
    let left = index;
    let at = storageOffset;
    for (let dim = shape.length - 1; dim >= 0; dim--) {
      at += (left % (shape[dim] as number)) * (stride[dim] as number);
      left = Math.floor(left / (shape[dim] as number));
    }
    return at;
  });
}

/** Stored bytes to the tensor's and back: byte order, conjugation and negation each undo themselves. */
function turned(element: Buffer, tensor: Tensor): Buffer {
  const { dtype, storage } = tensor;
  const result = Buffer.from(element);
  const complex = dtype.startsWith('complex');
  const component = complex ? element.length / 2 : element.length;
  for (let part = 0; part < element.length; part += component) {
    const bytes = result.subarray(part, part + component);
    if (storage.byteorder === 'big') bytes.reverse();
  }
  for (let part = 0; part < element.length; part += component) {
    const bytes = result.subarray(part, part + component);
    if ((tensor.neg === true) === (complex && part > 0 && tensor.conj === true)) continue;
    if (/float|complex/.test(dtype)) bytes[component - 1] = (bytes[component - 1] as number) ^ 0x80;
    else {
      const value = BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
      const negated = BigInt.asUintN(component * 8, -value)
        .toString(16)
        .padStart(component * 2, '0');
      Buffer.from(negated, 'hex').reverse().copy(bytes);
    }
  }
  return result;
}

/** The reference: the bytes of each element that lie in the written range, one after the other. */
function naiveWrite(tensor: Tensor, storage: Buffer, offset: number, bytes: Uint8Array): void {
  const itemsize = DTYPES[tensor.dtype];
  const big = (element: Buffer, way: 'in' | 'out') => {
    // Stored → served is swap, then signs; served → stored is signs, then swap.
    if (way === 'out') return turned(element, tensor);
    const plain = { ...tensor, storage: { ...tensor.storage, byteorder: 'little' as const } };
    return turned(turned(element, plain), { ...tensor, conj: false, neg: false });
  };
  places(tensor).forEach((place, index) => {
    const from = Math.max(offset, index * itemsize);
    const to = Math.min(offset + bytes.length, (index + 1) * itemsize);
    if (from >= to) return;
    const slot = storage.subarray(OFFSET + place * itemsize, OFFSET + (place + 1) * itemsize);
    const served = big(slot, 'out');
    served.set(bytes.subarray(from - offset, to - offset), from - index * itemsize);
    big(served, 'in').copy(slot);
  });
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

const dim = fc.record({ size: fc.integer({ min: 1, max: 6 }), stride: fc.integer({ min: 0, max: 40 }) });

test('a write anywhere into any view puts its bytes where the view has them and changes nothing else', async () => {
  let writable = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...dtypes),
      fc.array(dim, { maxLength: 4 }),
      fc.nat({ max: 20 }),
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      fc.nat(),
      fc.nat(),
      fc.uint8Array({ minLength: 256, maxLength: 256 }),
      async (dtype, dims, storageOffset, big, conj, neg, at, long, noise) => {
        const scratch = new Scratch(OFFSET + 16_384 + TAIL);
        const storage = storageOf(scratch.image, 16_384, { byteorder: big ? 'big' : 'little' });
        const shape = dims.map(({ size }) => size);
        const stride = dims.map((one) => one.stride);
        const tensor = tensorOf(storage, dtype, shape, { stride, storageOffset, conj, neg });
        const content = tensorContent(tensor, cache());
        const own = places(tensor);
        const writer = writerOf(content);
        if (new Set(own).size < own.length) {
          assert.equal(writer, undefined, 'elements that are the same bytes cannot be written');
          refused++;
          return;
        }
        // Some views are only found to be free of overlaps by trying; these may be refused, too.
        if (writer === undefined) return;
        writable++;
        const size = nbytes(tensor);
        const offset = at % size;
        const length = 1 + (long % (size - offset));
        const bytes = Buffer.from(Array.from({ length }, (_, index) => noise[index % 256] as number));
        const expected = Buffer.from(scratch.bytes);
        naiveWrite(tensor, expected, offset, bytes);
        await writer.write(scratch.update, offset, bytes);
        assert.ok(scratch.bytes.equals(expected), 'the image is as the definition says');
        const fresh = tensorContent(tensor, cache());
        assert.ok((await read(fresh, offset, length)).equals(bytes), 'what was written is read back');
      },
    ),
    { numRuns: 1500 },
  );
  assert.ok(writable > 300 && refused > 100, `${writable} writable, ${refused} refused`);
});

test('views by slicing and permuting can all be written', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ size: fc.integer({ min: 1, max: 5 }), step: fc.integer({ min: 1, max: 3 }) }), {
        minLength: 1,
        maxLength: 4,
      }),
      fc.infiniteStream(fc.nat()),
      async (axes, random) => {
        const whole = axes.map(({ size, step }) => size * step);
        const strides = whole.map((_, index) => whole.slice(index + 1).reduce((a, b) => a * b, 1));
        const order = axes
          .map((_, index) => [random.next().value ?? 0, index] as const)
          .sort((a, b) => a[0] - b[0]);
        const shape = order.map(([, index]) => axes[index]?.size ?? 1);
        const stride = order.map(([, index]) => (strides[index] ?? 1) * (axes[index]?.step ?? 1));
        const scratch = new Scratch(OFFSET + 65_536 * 2);
        const tensor = tensorOf(storageOf(scratch.image, 65_536 * 2), 'int16', shape, { stride });
        assert.notEqual(writerOf(tensorContent(tensor, cache())), undefined, `[${shape}] [${stride}]`);
      },
    ),
  );
});

/** A transposed matrix of a few megabytes: several windows a write, pieces cut off at its edges. */
test('a large write through a transposed view goes into the storage in bounded windows', async () => {
  const [rows, columns] = [1500, 1201];
  const scratch = new Scratch(OFFSET + rows * columns * 4 + TAIL);
  let largest = 0;
  const { update } = scratch;
  const counted: ImageUpdate = {
    read: (offset, length) => {
      largest = Math.max(largest, length);
      return update.read(offset, length);
    },
    write: update.write,
  };
  const storage = storageOf(scratch.image, rows * columns * 4);
  const tensor = tensorOf(storage, 'float32', [columns, rows], { stride: [1, columns] });
  const content = tensorContent(tensor, cache());
  const bytes = Buffer.alloc(1024 * 1024 + 3, 0xa5);
  const offset = 1_234_567;
  const expected = Buffer.from(scratch.bytes);
  naiveWrite(tensor, expected, offset, bytes);
  await (writerOf(content) ?? assert.fail()).write(counted, offset, bytes);
  assert.ok(scratch.bytes.equals(expected));
  assert.ok(largest <= 4 * 1024 * 1024, `a window of ${largest} bytes`);
});

test('a view whose rows are long is written through its extents', async () => {
  const scratch = new Scratch(OFFSET + 8 * 4096 * 4 + TAIL);
  const storage = storageOf(scratch.image, 8 * 4096 * 4);
  const tensor = tensorOf(storage, 'float32', [8, 2048], { stride: [4096, 1], storageOffset: 1024 });
  const content = tensorContent(tensor, cache());
  assert.equal(content.kind, 'extents');
  const bytes = Buffer.alloc(20_001, 0x5a);
  const expected = Buffer.from(scratch.bytes);
  naiveWrite(tensor, expected, 4099, bytes);
  await (writerOf(content) ?? assert.fail()).write(scratch.update, 4099, bytes);
  assert.ok(scratch.bytes.equals(expected));
});

test('elements that share a byte and raw storages are written as they lie', async () => {
  const scratch = new Scratch(OFFSET + 64 + TAIL);
  const storage = storageOf(scratch.image, 64);
  const packed = tensorContent(tensorOf(storage, 'quint4x2', [33], { storageOffset: 4 }), cache());
  await (writerOf(packed) ?? assert.fail()).write(scratch.update, 16, Buffer.of(9));
  assert.equal(scratch.bytes[OFFSET + 2 + 16], 9);
  await (writerOf(rawStorageContent(storage, cache())) ?? assert.fail()).write(
    scratch.update,
    63,
    Buffer.of(7),
  );
  assert.equal(scratch.bytes[OFFSET + 63], 7);
});

test('expanded, deflated and absent tensors have no writer', async (t) => {
  const scratch = new Scratch(OFFSET + 4096);
  const storage = storageOf(scratch.image, 4000);
  const without = (tensor: Tensor) => assert.equal(writerOf(tensorContent(tensor, cache())), undefined);
  without(tensorOf(storage, 'float32', [3, 10], { stride: [0, 1] }));
  without(tensorOf(storage, 'float32', [2], { stride: [0] }));
  without(tensorOf(storage, 'float32', [5, 3], { stride: [1, 1] }));
  without(
    tensorOf(storageOf(scratch.image, 4000, { bytes: { kind: 'absent', reason: 'meta' } }), 'int8', [4]),
  );
  const path = join(await temporaryDirectory(t), 'deflated.bin');
  const deflated = deflateRawSync(Buffer.alloc(4000));
  await writeFile(path, deflated);
  const image = new Image(await FileSource.open(path));
  t.after(() => image.close());
  const bytes = {
    kind: 'deflated',
    image,
    offset: 0,
    compressedLength: deflated.length,
    length: 4000,
  } as const;
  without(tensorOf(storageOf(image, 4000, { bytes }), 'float32', [1000]));
  without(tensorOf(storageOf(image, 4000, { bytes }), 'float32', [10, 10], { stride: [1, 10] }));
});

test('one element of stride zero is no expansion', () => {
  const scratch = new Scratch(OFFSET + 4096);
  const tensor = tensorOf(storageOf(scratch.image, 4000), 'float32', [1, 10], { stride: [0, 1] });
  assert.notEqual(writerOf(tensorContent(tensor, cache())), undefined);
});

test('a list of extents refuses bytes that are not the image’s', async () => {
  const scratch = new Scratch(100);
  const { image } = scratch;
  const writer = extentsWriter(image, () => [
    { kind: 'inline', bytes: Buffer.alloc(10) },
    { kind: 'image', image, offset: 50, length: 10 },
    { kind: 'computed', length: 4, read: async () => Buffer.alloc(4) },
  ]);
  await writer.write(scratch.update, 10, Buffer.alloc(10, 1));
  assert.ok(scratch.bytes.subarray(50, 60).equals(Buffer.alloc(10, 1)));
  const eperm = (cause: { errno?: string }) => cause.errno === 'EPERM';
  await assert.rejects(writer.write(scratch.update, 9, Buffer.alloc(2)), eperm);
  await assert.rejects(writer.write(scratch.update, 19, Buffer.alloc(2)), eperm);
});

function transposed(t: TestContext) {
  const scratch = new Scratch(OFFSET + 2048 * 1024 * 2 + TAIL);
  const storage = storageOf(scratch.image, 2048 * 1024 * 2);
  const tensor = tensorOf(storage, 'int16', [1000, 2048], { stride: [1, 1024], storageOffset: 3 });
  const content = tensorContent(tensor, cache());
  assert.ok(content.kind === 'rendered');
  t.diagnostic(`${content.size} bytes`);
  return { scratch, content: content as RenderedContent, tensor };
}

test('a rendered view names the part of the image that it is made of', (t) => {
  const { content, scratch } = transposed(t);
  const length = (999 + 2047 * 1024 + 1) * 2;
  assert.deepEqual(content.origin, { image: scratch.image, offset: OFFSET + 6, length });
});

test('what was rendered is kept until it is invalidated', async (t) => {
  const { content, scratch } = transposed(t);
  const before = Buffer.from(await content.read(0, 100));
  await (content.writer ?? assert.fail()).write(scratch.update, 0, Buffer.alloc(100, 0x77));
  assert.ok(Buffer.from(await content.read(0, 100)).equals(before), 'pages are not rendered at each read');
  content.invalidate?.();
  assert.ok(Buffer.from(await content.read(0, 100)).equals(Buffer.alloc(100, 0x77)));
});

test('pages are dropped when their bytes change, whoever changes them, and kept when others do', async (t) => {
  const { content, scratch } = transposed(t);
  const writer = content.writer ?? assert.fail();
  const read = async () => Buffer.from(await content.read(0, 100));
  const { offset, length } = content.origin ?? assert.fail();
  for (const fill of [0x11, 0x22]) {
    const before = await read();
    await writer.write(scratch.update, 0, Buffer.alloc(100, fill));
    scratch.changed({ start: 0, end: offset });
    scratch.changed({ start: offset + length, end: offset + length + 1 });
    assert.ok((await read()).equals(before), 'no byte of the view has changed');
    scratch.changed({ start: offset + length - 1, end: offset + length + 1 });
    assert.ok((await read()).equals(Buffer.alloc(100, fill)));
  }
});

test('pages that a read goes on to load after an invalidation are dropped by the next one', async (t) => {
  const { content, scratch, tensor } = transposed(t);
  const reading = content.read(0, content.size);
  content.invalidate?.();
  await reading;
  const bytes = Buffer.alloc(1000, 0x66);
  const at = content.size - bytes.length;
  await (content.writer ?? assert.fail()).write(scratch.update, at, bytes);
  content.invalidate?.();
  assert.ok(Buffer.from(await content.read(at, bytes.length)).equals(bytes), String(tensor.shape));
});
