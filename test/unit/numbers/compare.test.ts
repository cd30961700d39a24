/** The addon's distances are those of DistanceSums, the plain way in TypeScript. */
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { DTYPE_NAMES, DTYPES, type DType } from '../../../src/checkpoint/dtypes.ts';
import { compareContents } from '../../../src/numbers/compare.ts';
import { type Distance, DistanceSums } from '../../../src/numbers/distance.ts';
import type { FixedContent } from '../../../src/storage/content.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image } from '../../../src/storage/image.ts';
import { loadNative } from '../../../src/storage/native.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const native = loadNative() ?? assert.fail('the addon is built');
const NUMBERS = DTYPE_NAMES.filter((dtype) => native.isNumber(dtype));
/** Fewer than a vector has, a run and a rest, more than a piece of a file. */
const COUNTS = [1, 7, 1024, 3001, 150_001];

type Change = (a: Buffer, b: Buffer, dtype: DType) => void;

/** How the second tensor differs from the first, which has any bits: NaN with payloads, infinities, subnormal numbers and both zeros. */
const CHANGES: Readonly<Record<string, Change>> = {
  'nothing differs': (a, b) => a.copy(b),
  'everything differs': (_, b) => randomFillSync(b),
  'some elements differ': (a, b, dtype) => {
    a.copy(b);
    for (let at = 0; at < b.length; at += 37 * DTYPES[dtype]) b[at] = (b[at] ?? 0) ^ 0x81;
  },
  'finite numbers differ a little': (a, b, dtype) => {
    // Clears a bit of every exponent, and changes low bits.
    const width = widthOf(dtype);
    for (let at = width - 1; at < a.length; at += width) a[at] = (a[at] ?? 0) & 0xbf;
    a.copy(b);
    for (let at = 0; at < b.length; at += width) b[at] = (b[at] ?? 0) ^ (at % 3);
  },
  'one of many finite numbers became NaN or something else': (a, b, dtype) => {
    CHANGES['finite numbers differ a little']?.(a, b, dtype);
    b.fill(0xff, 0, DTYPES[dtype]);
  },
  'numbers became zeros of either sign': (a, b, dtype) => {
    CHANGES['finite numbers differ a little']?.(a, b, dtype);
    b.fill(0);
    const width = widthOf(dtype);
    for (let at = width - 1; at < b.length; at += 2 * width) b[at] = 0x80;
  },
  'zeros became numbers': (a, b, dtype) => {
    CHANGES['finite numbers differ a little']?.(b, a, dtype);
    a.fill(0);
  },
};

function widthOf(dtype: DType): number {
  return dtype.startsWith('complex') ? DTYPES[dtype] / 2 : DTYPES[dtype];
}

function near(actual: unknown, expected: unknown, what: string): void {
  if (typeof actual === 'number' && typeof expected === 'number') {
    const apart = Math.abs(actual - expected);
    assert.ok(apart === 0 || apart <= 1e-11 * Math.abs(expected), `${what}: ${actual}, expected ${expected}`);
  } else assert.deepEqual(actual, expected, what);
}

function assertSame(actual: Distance | undefined, expected: Distance | undefined, what: string): void {
  const { meanDistance, relative, maxDistance, ...counts } = actual ?? ({} as Partial<Distance>);
  const { meanDistance: mean, relative: ratio, maxDistance: max, ...rest } = expected ?? {};
  assert.deepEqual(counts, rest, what);
  near(maxDistance, max, `${what}: maxDistance`);
  near(meanDistance, mean, `${what}: meanDistance`);
  near(relative, ratio, `${what}: relative`);
}

for (const dtype of NUMBERS) {
  test(`${dtype}: the addon finds the distances that TypeScript finds, with every kernel`, async () => {
    for (const [change, apply] of Object.entries(CHANGES)) {
      for (const count of COUNTS) {
        const size = count * DTYPES[dtype];
        const [a, b] = [randomFillSync(Buffer.alloc(size)), Buffer.alloc(size)];
        apply(a, b, dtype);
        const sums = new DistanceSums(dtype);
        sums.add(a, b);
        const expected = sums.distance(size);
        const what = `${change}, ${count} elements`;
        assertSame(await compareContents(inline(a), inline(b), dtype, count), expected, what);
        const plain = new native.Distance(dtype, true);
        await plain.add(0, a, b);
        const found = plain.result(count);
        assert.equal(found.elements, expected?.elements ?? 0, what);
        assert.equal(found.bytes, expected?.bytes ?? 0, what);
        if (found.measured > 0) near(found.mean, expected?.meanDistance, `${what}, plain: mean`);
      }
    }
  });
}

function inline(bytes: Buffer): FixedContent {
  return { kind: 'extents', size: bytes.length, extents: [{ kind: 'inline', bytes }] };
}

test('bytes that are not aligned for their type are compared', async () => {
  const bytes = randomFillSync(Buffer.alloc(8 * 5000 + 1));
  const a = bytes.subarray(1);
  const b = Buffer.from(a);
  b.writeDoubleLE(1, 80);
  a.writeDoubleLE(3, 80);
  const found = await compareContents(inline(a), inline(b), 'float64', 5000);
  assert.deepEqual([found?.elements, found?.maxDistance], [1, 2]);
});

test('files are compared where they are, and one that was truncated is named', async (t) => {
  const folder = await temporaryDirectory(t);
  const size = 9 * 2 ** 20;
  const values = new Float32Array(size / 4).fill(2);
  const contentOf = async (name: string): Promise<FixedContent> => {
    const path = join(folder, name);
    await writeFile(path, new Uint8Array(values.buffer));
    const base = await FileSource.open(path);
    t.after(() => base.close());
    return {
      kind: 'extents',
      size,
      extents: [{ kind: 'image', image: new Image(base), offset: 0, length: size }],
    };
  };
  const before = await contentOf('before.bin');
  values[values.length - 1] = 5;
  const after = await contentOf('after.bin');
  const found = await compareContents(before, after, 'float32', values.length);
  assert.deepEqual([found?.elements, found?.maxDistance], [1, 3]);
  await truncate(join(folder, 'after.bin'), size - 4096);
  await assert.rejects(compareContents(before, after, 'float32', values.length), {
    code: 'ERR_MLFS_TRUNCATED',
    message: /after\.bin/,
  });
});

test('a comparison that is given up ends between two blocks', async () => {
  let reads = 0;
  const content: FixedContent = {
    kind: 'rendered',
    size: 64 * 2 ** 20,
    read: async (_offset, length) => {
      reads++;
      return new Uint8Array(length);
    },
  };
  const reason = new Error('given up');
  await assert.rejects(
    compareContents(content, content, 'float32', 1, { signal: AbortSignal.abort(reason) }),
    reason,
  );
  assert.equal(reads, 0);
});
