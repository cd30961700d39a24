/** What `mlfs check --finite` finds: NaN and infinities in tensors of every size, by name. */
import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { DTYPES, type DType } from '../../../src/checkpoint/dtypes.ts';
import { type CheckedTensor, findNonFinite } from '../../../src/numbers/non-finite.ts';
import type { FixedContent } from '../../../src/storage/content.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image } from '../../../src/storage/image.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

type Context = Parameters<typeof temporaryDirectory>[0];

/** Tensors one behind the other in a file. */
async function inFile(t: Context, named: readonly (readonly [string, DType, Uint8Array])[]) {
  const path = join(await temporaryDirectory(t), 'model.bin');
  await writeFile(path, Buffer.concat(named.map(([, , bytes]) => bytes)));
  const base = await FileSource.open(path);
  t.after(() => base.close());
  const image = new Image(base);
  let offset = 0;
  const tensors = named.map(([name, dtype, { byteLength: size }]): CheckedTensor => {
    const content: FixedContent = {
      kind: 'extents',
      size,
      extents: [{ kind: 'image', image, offset, length: size }],
    };
    offset += size;
    return { path: name, dtype, content };
  });
  return { path, tensors };
}

const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

test('every dtype counts its NaN and infinities, a complex element once', async (t) => {
  const { tensors } = await inFile(t, [
    ['fine', 'float32', floats(1, 2, -0, 1e-45)],
    ['float32', 'float32', floats(1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY)],
    ['float64', 'float64', new Uint8Array(Float64Array.of(Number.NaN, 1).buffer)],
    ['float16', 'float16', new Uint8Array(Uint16Array.of(0x7c00, 0x7c01, 0xfe00, 0x7bff).buffer)],
    ['bfloat16', 'bfloat16', new Uint8Array(Uint16Array.of(0x7f80, 0xff81, 0x7f7f).buffer)],
    ['e4m3fn', 'float8_e4m3fn', Uint8Array.of(0x7f, 0xff, 0x7e)],
    ['e5m2', 'float8_e5m2', Uint8Array.of(0x7c, 0x7d, 0x7b)],
    ['complex', 'complex64', floats(Number.NaN, 1, Number.NaN, Number.POSITIVE_INFINITY, 1, 2)],
    ['empty', 'float32', new Uint8Array(0)],
  ]);
  assert.deepEqual(await findNonFinite(tensors), [
    { path: 'float32', nans: 1, infs: 2 },
    { path: 'float64', nans: 1, infs: 0 },
    { path: 'float16', nans: 2, infs: 1 },
    { path: 'bfloat16', nans: 1, infs: 1 },
    { path: 'e4m3fn', nans: 2, infs: 0 },
    { path: 'e5m2', nans: 1, infs: 1 },
    { path: 'complex', nans: 1, infs: 1 },
  ]);
});

test('blocks of a large tensor are added up, beside thousands of small ones', async (t) => {
  const large = new Float32Array(5 * 2 ** 20).fill(1);
  for (const at of [0, 2 ** 20, large.length - 1]) large[at] = Number.NaN;
  const small = Array.from({ length: 3000 }, (_, index): readonly [string, DType, Uint8Array] => [
    `small-${index}`,
    'float32',
    floats(index === 2999 ? Number.POSITIVE_INFINITY : index),
  ]);
  const { tensors } = await inFile(t, [...small, ['large', 'float32', new Uint8Array(large.buffer)]]);
  const progress: number[] = [];
  const found = await findNonFinite(tensors, (done) => progress.push(done));
  assert.deepEqual(found, [
    { path: 'small-2999', nans: 0, infs: 1 },
    { path: 'large', nans: 3, infs: 0 },
  ]);
  assert.equal(progress.at(-1), 3000 * DTYPES.float32 + large.byteLength);
});

test('a truncated file is an error that names the tensor', async (t) => {
  const { path, tensors } = await inFile(t, [
    ['model/a.bin', 'float32', floats(1, 2)],
    ['model/b.bin', 'float32', floats(3, 4)],
  ]);
  await truncate(path, 12);
  await assert.rejects(findNonFinite(tensors), {
    code: 'ERR_MLFS_TRUNCATED',
    message: /^model\/b\.bin: .*model\.bin/,
  });
});

test('an aborted check reads nothing more', async () => {
  let reads = 0;
  const stop = new AbortController();
  const content: FixedContent = {
    kind: 'rendered',
    size: 1 << 30,
    read: async (_offset, length) => {
      reads++;
      stop.abort(new Error('stopped'));
      return new Uint8Array(length);
    },
  };
  const check = findNonFinite([{ path: 'w', dtype: 'float32', content }], undefined, stop.signal);
  await assert.rejects(check, /stopped/);
  assert.ok(reads <= 8, `${reads} reads`);
});
