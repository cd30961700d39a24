/** How far tensors are apart: what numpy finds. */
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { test } from 'node:test';
import { encodeElement } from '../../../src/checkpoint/element-encoding.ts';
import { DTYPES, type DType } from '../../../src/checkpoint/tensor.ts';
import { MlfsError } from '../../../src/errors.ts';
import { decoderOf } from '../../../src/numbers/decode.ts';
import { differences, type TensorDifference } from '../../../src/targets/difference.ts';
import type { TargetTensor } from '../../../src/targets/tensor-target.ts';

function tensor(path: string, dtype: DType, shape: readonly number[], bytes: Uint8Array): TargetTensor {
  const content = { kind: 'extents', size: bytes.byteLength, extents: [{ kind: 'inline', bytes }] } as const;
  return { path, dtype, shape, content };
}

const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

async function found(before: TargetTensor[], after: TargetTensor[]): Promise<TensorDifference[]> {
  const list: TensorDifference[] = [];
  for await (const one of differences({ tensors: before }, { tensors: after })) list.push(one);
  return list;
}

test('tensors that are there in one alone, or of another kind, are named and not compared', async () => {
  const same = tensor('same', 'float32', [2], floats(1, 2));
  const list = await found(
    [same, tensor('gone', 'float32', [1], floats(1)), tensor('grown', 'float32', [1], floats(1))],
    [same, tensor('grown', 'float32', [2], floats(1, 2)), tensor('new', 'float32', [1], floats(1))],
  );
  assert.deepEqual(list, [
    { kind: 'removed', path: 'gone', bytes: 4 },
    {
      kind: 'reshaped',
      path: 'grown',
      before: { dtype: 'float32', shape: [1] },
      after: { dtype: 'float32', shape: [2] },
    },
    { kind: 'added', path: 'new', bytes: 4 },
  ]);
});

test('the progress goes on within a large tensor, with the addon and without', async () => {
  for (const dtype of ['float32', 'quint4x2'] as const) {
    const large = tensor('w', dtype, [5 * 2 ** 20], new Uint8Array(5 * 2 ** 20 * DTYPES[dtype]));
    const done: number[] = [];
    for await (const _ of differences({ tensors: [large] }, { tensors: [large] }, (progress) =>
      done.push(progress.done),
    ));
    const total = large.content.size;
    assert.ok(
      done.some((bytes) => bytes > 0 && bytes < total),
      `${dtype}: ${done}`,
    );
    assert.equal(done.at(-1), total);
    assert.deepEqual(
      done,
      done.toSorted((a, b) => a - b),
    );
  }
});

test('distances are those of finite numbers, over all blocks', async () => {
  const before = Float32Array.from({ length: 600_000 }, (_, index) => (index % 7) - 3);
  const after = before.slice();
  after[5] = 10;
  after[599_999] = Number.NaN;
  const [one] = await found(
    [tensor('w', 'float32', [600_000], new Uint8Array(before.buffer))],
    [tensor('w', 'float32', [600_000], new Uint8Array(after.buffer))],
  );
  assert.ok(one?.kind === 'changed');
  const distance = 10 - ((5 % 7) - 3);
  assert.deepEqual([one.elements, one.elementsTotal, one.bytesTotal], [2, 600_000, 2_400_000]);
  assert.equal(one.maxDistance, distance);
  assert.ok(Math.abs((one.meanDistance ?? 0) - distance / 600_000) < 1e-12);
  const norm = Math.sqrt(before.reduce((sum, value) => sum + value * value, 0));
  assert.ok(Math.abs((one.relative ?? 0) - distance / norm) < 1e-12);
});

test('elements that are no numbers are counted', async () => {
  const [one] = await found(
    [tensor('b', 'bits8', [4], Uint8Array.of(1, 2, 3, 4))],
    [tensor('b', 'bits8', [4], Uint8Array.of(1, 9, 3, 4))],
  );
  assert.ok(one?.kind === 'changed');
  assert.deepEqual(
    [one.elements, one.elementsTotal, one.bytes, one.maxDistance, one.relative],
    [1, 4, 1, null, null],
  );
});

test('an error of reading names the tensor', async () => {
  const broken = {
    kind: 'rendered',
    size: 8,
    read: () => Promise.reject(new MlfsError('ERR_MLFS_IO', 'x.pt: gone')),
  } as const;
  const tensors = [{ path: 'model/w.bin', dtype: 'float32', shape: [2], content: broken } as const];
  await assert.rejects(found([tensor('model/w.bin', 'float32', [2], floats(1, 2))], [...tensors]), {
    code: 'ERR_MLFS_IO',
    message: 'model/w.bin: x.pt: gone',
  });
});

test('numbers that share a byte are elements each', async () => {
  // Seven elements in four bytes: the last has room for one more.
  const [quantized] = await found(
    [tensor('q', 'quint4x2', [7], Uint8Array.of(0x21, 0x43, 0x65, 0x07))],
    [tensor('q', 'quint4x2', [7], Uint8Array.of(0x21, 0xf3, 0x60, 0x07))],
  );
  assert.ok(quantized?.kind === 'changed');
  assert.deepEqual(
    [quantized.elements, quantized.elementsTotal, quantized.bytes, quantized.bytesTotal],
    [2, 7, 2, 4],
  );
  assert.deepEqual([quantized.maxDistance, quantized.meanDistance], [11, 16 / 7]);
  // torch's shape counts the bytes of float4.
  const [float4] = await found(
    [tensor('f', 'float4_e2m1fn_x2', [3], Uint8Array.of(0x11, 0x22, 0x77))],
    [tensor('f', 'float4_e2m1fn_x2', [3], Uint8Array.of(0x11, 0x2a, 0x87))],
  );
  assert.ok(float4?.kind === 'changed');
  assert.deepEqual([float4.elements, float4.elementsTotal, float4.bytes], [2, 6, 2]);
  // 1 became -1, and 6 became -0.
  assert.deepEqual([float4.maxDistance, float4.meanDistance], [6, 8 / 6]);
});

function encoded(text: string, dtype: DType): Buffer {
  return encodeElement(text, dtype) ?? assert.fail(`${text} is no ${dtype}`);
}

for (const dtype of [
  'float16',
  'bfloat16',
  'float8_e4m3fn',
  'float8_e5m2',
  'float8_e4m3fnuz',
  'float8_e5m2fnuz',
  'float8_e8m0fnu',
  'int64',
  'uint64',
  'int8',
] as const) {
  test(`${dtype} decodes to the numbers that its bits are`, () => {
    const bytes = randomFillSync(Buffer.alloc(4096));
    const size = DTYPES[dtype];
    const values = Array.from(decoderOf(dtype)?.(bytes) ?? []);
    assert.equal(values.length, bytes.length / size);
    for (const [index, value] of values.entries()) {
      const own = bytes.subarray(index * size, (index + 1) * size);
      // The bits of a NaN are not told, and 64-bit integers are rounded to doubles.
      if (Number.isNaN(value)) assert.deepEqual(decoderOf(dtype)?.(encoded('nan', dtype))[0], Number.NaN);
      else if (dtype.endsWith('int64'))
        assert.equal(value, Number(dtype === 'int64' ? own.readBigInt64LE() : own.readBigUInt64LE()));
      else assert.deepEqual(encoded(Object.is(value, -0) ? '-0' : String(value), dtype), own);
    }
  });
}
