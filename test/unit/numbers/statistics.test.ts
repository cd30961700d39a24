/** Statistics in one pass: what numpy finds in several. */
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { PyDict } from '../../../src/checkpoint/pickle/values.ts';
import { DTYPES, type DType } from '../../../src/checkpoint/tensor.ts';
import { tensorContent } from '../../../src/checkpoint/tensor-content.ts';
import { tensorToWrite, writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { computeStatistics, hasStatistics, type Statistics } from '../../../src/numbers/statistics.ts';
import { StatisticsCache } from '../../../src/numbers/statistics-cache.ts';
import type { FixedContent } from '../../../src/storage/content.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { WritableCheckpoint } from '../../../src/targets/writable-checkpoint.ts';
import { DEBIAN_PYTHON, requires } from '../../support/requires.ts';
import { output } from '../../support/run.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const inline = (bytes: Uint8Array): FixedContent => ({
  kind: 'extents',
  size: bytes.byteLength,
  extents: [{ kind: 'inline', bytes }],
});

const NUMPY = `
import sys, json, numpy as np
x = np.fromfile(sys.argv[2], dtype=sys.argv[1])
if sys.argv[1] == '<u2' and sys.argv[3] == 'bfloat16': x = (x.astype('<u4') << 16).view('<f4')
if x.dtype.kind == 'c': x = np.hypot(x.real.astype('<f8'), x.imag.astype('<f8'))
finite = x[np.isfinite(x)].astype('<f8')
edges = [0.0]
mantissa, exponent = np.frexp(np.abs(finite[finite != 0]))
quarter = np.floor(mantissa * 8).astype(int)
keys, counts = np.unique(np.sign(finite[finite != 0]) * (exponent * 8.0 + quarter + 100000), return_counts=True)
print(json.dumps({
    'count': x.size, 'zeros': int((x == 0).sum()), 'nans': int(np.isnan(x).sum()), 'infs': int(np.isinf(x).sum()),
    'min': (x[np.isfinite(x)] + 0).min().item(), 'max': (x[np.isfinite(x)] + 0).max().item(), 'mean': finite.mean(), 'std': finite.std(), 'buckets': counts.tolist(),
}))
`;

function assertNear(actual: number | undefined, expected: number, scale: number, what: string): void {
  assert.ok(
    actual !== undefined && Math.abs(actual - expected) <= 1e-9 * scale,
    `${what}: ${actual}, ${expected}`,
  );
}

const NUMPY_TYPES = {
  float64: '<f8',
  float32: '<f4',
  float16: '<f2',
  bfloat16: '<u2',
  int8: '|i1',
  int16: '<i2',
  int32: '<i4',
  int64: '<i8',
  uint8: '|u1',
  uint16: '<u2',
  uint32: '<u4',
  uint64: '<u8',
  bool: '|b1',
  complex64: '<c8',
  complex128: '<c16',
} as const;

/** Numbers of moderate size with zeroes, subnormal numbers, NaN and infinities among them; several blocks and a rest. */
function mixture(dtype: DType): Buffer {
  const size = DTYPES[dtype];
  const bytes = randomFillSync(Buffer.alloc(3 * 2 ** 20 + 5 * size));
  if (dtype === 'bool') for (let at = 0; at < bytes.length; at++) bytes[at] = (bytes[at] ?? 0) & 1;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const special = [0, -0, 1e-40, -1e-310, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  if (dtype === 'float64' || dtype === 'complex128') {
    for (let at = 0; at + 8 <= bytes.length; at += 8) {
      view.setFloat64(
        at,
        at % 136 === 0 ? (special[(at / 136) % special.length] ?? 0) : Math.random() - 0.3,
        true,
      );
    }
  } else if (dtype === 'float32' || dtype === 'complex64') {
    for (let at = 0; at + 4 <= bytes.length; at += 4) {
      view.setFloat32(
        at,
        at % 68 === 0 ? (special[(at / 68) % special.length] ?? 0) : 1e4 + Math.random(),
        true,
      );
    }
  }
  return bytes;
}

for (const [dtype, numpy] of Object.entries(NUMPY_TYPES) as [DType, string][]) {
  test(`${dtype}: numpy finds the same`, requires('python3-numpy'), async (t) => {
    const bytes = mixture(dtype);
    const path = join(await temporaryDirectory(t), 'numbers.bin');
    await writeFile(path, bytes);
    const expected = JSON.parse(
      await output(DEBIAN_PYTHON, ['-W', 'ignore', '-c', NUMPY, numpy, path, dtype]),
    );
    const found = await computeStatistics(inline(bytes), dtype);
    for (const field of ['count', 'zeros', 'nans', 'infs', 'min', 'max'] as const) {
      // JSON.parse rounds numpy's 64-bit integers; that ours are exact is tested below.
      assert.ok(Number(found[field]) === expected[field], `${field}: ${found[field]}, ${expected[field]}`);
    }
    const scale = Math.max(Math.abs(expected.min), Math.abs(expected.max));
    assertNear(found.mean, expected.mean, scale, 'mean');
    assertNear(found.std, expected.std, scale, 'std');
    const counts = found.histogram.filter(({ from, to }) => from !== 0 || to !== 0).map(({ count }) => count);
    const all = (numbers: readonly number[]) => numbers.reduce((sum, one) => sum + one, 0);
    assert.equal(all(counts), all(expected.buckets));
    // Below the smallest normal double the buckets are wider than numpy's quarters.
    if (dtype !== 'float64') assert.deepEqual(counts, expected.buckets);
  });
}

/** Mean and standard deviation of doubles that are in the middle of their range, for others that are a power of two away. */
function scaledMoments(values: Float64Array): { readonly mean: number; readonly std: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, std: Math.sqrt(variance) };
}

for (const [what, exponent] of [
  ['near overflow', 1022],
  ['whose squares overflow', 600],
  ['whose squares underflow', -600],
  ['near underflow', -1020],
] as const) {
  test(`doubles ${what} keep mean, standard deviation and norm`, async () => {
    // Several runs and blocks, so that joining them is tried, too.
    const plain = Float64Array.from({ length: 700_001 }, (_, index) => ((index * 7919) % 1000) / 512 - 0.9);
    const values = plain.map((value) => value * 2 ** exponent);
    const found = await computeStatistics(inline(new Uint8Array(values.buffer)), 'float64');
    const expected = scaledMoments(plain);
    const back = (value: number | undefined) => (value ?? Number.NaN) / 2 ** exponent;
    assertNear(back(found.mean), expected.mean, 1, 'mean');
    assertNear(back(found.std), expected.std, 1, 'std');
    const norm = Math.sqrt(plain.reduce((sum, value) => sum + value * value, 0));
    if (exponent < 1000) assertNear(back(found.norm), norm, norm, 'norm');
    assert.deepEqual([back(Number(found.min)), back(Number(found.max))], [-0.9, 999 / 512 - 0.9]);
  });
}

test('a mean of the largest doubles is a double', async () => {
  const bytes = Buffer.from(Float64Array.of(1.7e308, -1.7e308, 1.6e308).buffer);
  const { min, max, mean, std } = await computeStatistics(inline(bytes), 'float64');
  const expected = scaledMoments(Float64Array.of(1.7, -1.7, 1.6));
  assert.deepEqual([min, max], [-1.7e308, 1.7e308]);
  assertNear((mean ?? 0) / 1e308, expected.mean, 1, 'mean');
  assertNear((std ?? 0) / 1e308, expected.std, 1, 'std');
});

test('an outlier at the beginning does not hide the spread of the others', async () => {
  const values = Float64Array.from({ length: 2047 }, (_, index) =>
    index === 0 ? -1e15 : 1e15 + (index % 2),
  );
  const found = await computeStatistics(inline(new Uint8Array(values.slice(1).buffer)), 'float64');
  assertNear(found.std, 0.5, 1, 'std without the outlier');
  const shifted = values.map((value) => value - 1e15);
  shifted[0] = -1e12;
  const far = await computeStatistics(inline(new Uint8Array(shifted.buffer)), 'float64');
  const expected = scaledMoments(shifted);
  assertNear(far.std, expected.std, expected.std, 'std');
});

const integers = (values: BigInt64Array | BigUint64Array) => inline(new Uint8Array(values.buffer));

test('extremes of 64-bit integers are exact, and so is a spread far from zero', async () => {
  const ids = await computeStatistics(
    integers(BigInt64Array.of(-(2n ** 63n), 0n, 2n ** 63n - 1n, 4611686018427387905n)),
    'int64',
  );
  assert.deepEqual([ids.min, ids.max, ids.zeros], [-(2n ** 63n), 2n ** 63n - 1n, 1]);
  const hashes = await computeStatistics(
    integers(BigUint64Array.from({ length: 1_500_000 }, (_, index) => 2n ** 64n - 3n + BigInt(index % 3))),
    'uint64',
  );
  assert.deepEqual([hashes.min, hashes.max], [2n ** 64n - 3n, 2n ** 64n - 1n]);
  assertNear(hashes.std, Math.sqrt(2 / 3), 1, 'std');
  const small = await computeStatistics(integers(BigInt64Array.of(-3n, 5n)), 'int64');
  assert.deepEqual([small.min, small.max, small.mean, small.std, small.sum], [-3, 5, 1, 4, 2]);
  const whole = await computeStatistics(integers(BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)), 'int64');
  assert.deepEqual([whole.mean, whole.std], [-0.5, 2 ** 63]);
});

const close = (found: Statistics) => ({ ...found, histogram: found.histogram.length });

test('float8 and quantized elements have statistics, packed ones none', async () => {
  const codes = Buffer.from(Array.from({ length: 256 }, (_, code) => code));
  const e4m3 = await computeStatistics(inline(codes), 'float8_e4m3fn');
  assert.deepEqual([e4m3.min, e4m3.max, e4m3.nans, e4m3.zeros], [-448, 448, 2, 2]);
  const e5m2 = await computeStatistics(inline(codes), 'float8_e5m2');
  assert.deepEqual([e5m2.min, e5m2.max, e5m2.nans, e5m2.infs], [-57344, 57344, 6, 2]);
  const e8m0 = await computeStatistics(inline(codes), 'float8_e8m0fnu');
  assert.deepEqual([e8m0.min, e8m0.max, e8m0.nans], [2 ** -127, 2 ** 127, 1]);
  assert.equal((await computeStatistics(inline(codes), 'qint8')).min, -128);
  assert.equal(hasStatistics('quint4x2'), false);
  await assert.rejects(computeStatistics(inline(codes), 'bits8'), { code: 'ERR_MLFS_TENSOR' });
});

test('without a finite element there is nothing but counts', async () => {
  const none = await computeStatistics(inline(new Uint8Array(0)), 'float32');
  assert.deepEqual(
    [none.count, none.min, none.mean, none.std, none.sum],
    [0, undefined, undefined, undefined, 0],
  );
  const nan = await computeStatistics(inline(new Uint8Array(Float32Array.of(Number.NaN).buffer)), 'float32');
  assert.deepEqual(close(nan), { ...close(none), count: 1, nans: 1 });
});

test('a far mean does not hide a small spread', async () => {
  const values = Float64Array.from({ length: 100_000 }, (_, index) => 1e9 + (index % 2));
  const found = await computeStatistics(inline(new Uint8Array(values.buffer)), 'float64');
  assertNear(found.std, 0.5, 1, 'std');
});

async function checkpointWith(
  t: Parameters<typeof temporaryDirectory>[0],
  path: string,
  values: Float32Array,
) {
  const root = new PyDict();
  root.set('a', tensorToWrite('float32', [values.length], new Uint8Array(values.buffer)));
  root.set('b', tensorToWrite('float32', [1], new Uint8Array(Float32Array.of(5).buffer)));
  await writeTorchZip(path, { root });
  const edited = await WritableCheckpoint.open(path);
  t.after(() => edited.close());
  return edited;
}

test('statistics are kept until a byte of the tensor changes, and follow the edit', async (t) => {
  const path = join(await temporaryDirectory(t), 'model.pt');
  const { checkpoint } = await checkpointWith(t, path, new Float32Array(600_000).fill(2));
  const [a, b] = checkpoint.tensors.map(({ tensor }) => tensor);
  assert.ok(a !== undefined && b !== undefined);
  const cache = new StatisticsCache();
  const contents = [a, b].map((tensor) => tensorContent(tensor, new RenderedPages(1 << 20)));
  const [contentA, contentB] = contents as [FixedContent, FixedContent];
  const first = await cache.of(a, contentA);
  assert.deepEqual([first.min, first.max, first.std], [2, 2, 0]);
  assert.equal(await cache.of(a, contentA), first);

  const write = (content: FixedContent, offset: number, value: number) =>
    checkpoint.image.update(async (update) =>
      content.writer?.write(update, offset, new Uint8Array(Float32Array.of(value).buffer)),
    );
  await write(contentB, 0, 7);
  assert.equal(await cache.of(a, contentA), first, 'another tensor was edited');
  await write(contentA, 4 * 300_000, -3);
  const second = await cache.of(a, contentA);
  assert.deepEqual([second.min, second.max], [-3, 2]);
});

test('who gives up stops the work only when nobody else waits', async () => {
  const size = 64 * 2 ** 20;
  let bytesRead = 0;
  const opened = new EventEmitter();
  const gate = once(opened, 'open');
  const content: FixedContent = {
    kind: 'rendered',
    size,
    read: async (_offset, length) => {
      bytesRead += length;
      await gate;
      return new Uint8Array(length);
    },
  };
  const tensor = { dtype: 'float32', storage: { bytes: { kind: 'absent', reason: 'none' } } };
  const cache = new StatisticsCache();
  const [one, two] = [new AbortController(), new AbortController()];
  const of = (signal: AbortSignal) => cache.of(tensor as never, content, signal);
  const waits = [of(one.signal), of(two.signal)];
  const ends = Promise.allSettled(waits);
  one.abort();
  opened.emit('open');
  const [given, taken] = await ends;
  assert.equal(given?.status, 'rejected');
  assert.equal(taken?.status, 'fulfilled');
  assert.equal(bytesRead, size, 'one pass for both');

  bytesRead = 0;
  const alone = new AbortController();
  const late = cache.of({ ...tensor } as never, content, alone.signal);
  alone.abort();
  await assert.rejects(late);
  assert.ok(bytesRead < size / 4, `${bytesRead} bytes were read in vain`);
});
