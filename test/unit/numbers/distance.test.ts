/** Distances at the edges: none that cannot be computed is 0, none that can be computed is lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DType } from '../../../src/checkpoint/tensor.ts';
import { type Distance, DistanceSums } from '../../../src/numbers/distance.ts';
import { exactJson } from '../../../src/numbers/exact-json.ts';

type Numbers = Float32Array | Float64Array | BigInt64Array | BigUint64Array | Uint16Array | Uint8Array;

function distance(dtype: DType, a: Numbers, b: Numbers): Distance {
  const sums = new DistanceSums(dtype);
  const bytes = (values: Numbers) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  sums.add(bytes(a), bytes(b));
  return sums.distance(a.byteLength) ?? assert.fail('nothing differs');
}

const doubles = (...values: number[]) => Float64Array.from(values);

test('an element that became NaN or infinite is counted and has no distance', () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    const found = distance('float64', doubles(1, 2), doubles(1, value));
    assert.deepEqual(
      [
        found.elements,
        found.becameNonFinite,
        found.becameFinite,
        found.maxDistance,
        found.meanDistance,
        found.relative,
      ],
      [1, 1, 0, null, null, null],
    );
    const back = distance('float64', doubles(1, value), doubles(1, 2));
    assert.deepEqual([back.becameNonFinite, back.becameFinite, back.maxDistance], [0, 1, null]);
  }
});

test('another infinity, and a NaN with other bits, are counted by themselves', () => {
  const infinity = distance('float64', doubles(Number.POSITIVE_INFINITY), doubles(Number.NEGATIVE_INFINITY));
  assert.deepEqual([infinity.stayedNonFinite, infinity.maxDistance], [1, null]);
  const nan = distance('float16', Uint16Array.of(0x7e00), Uint16Array.of(0x7e01));
  assert.deepEqual([nan.stayedNonFinite, nan.becameNonFinite, nan.maxDistance], [1, 0, null]);
});

test('elements with a distance are measured beside those that have none', () => {
  const found = distance('float64', doubles(3, 4, 1), doubles(3.5, Number.NaN, 1));
  assert.deepEqual([found.elements, found.becameNonFinite, found.maxDistance], [2, 1, 0.5]);
  assert.equal(found.meanDistance, 0.5 / 3);
  assert.equal(found.relative, 0.5 / Math.sqrt(26));
});

test('a difference that no double holds is counted, not measured', () => {
  const found = distance('float64', doubles(1.7e308, 1), doubles(-1.7e308, 1));
  assert.deepEqual([found.beyondDouble, found.maxDistance, found.relative], [1, null, null]);
  const float32 = distance('float32', Float32Array.of(3e38), Float32Array.of(-3e38));
  assert.deepEqual([float32.beyondDouble, float32.maxDistance], [0, Math.fround(3e38) * 2]);
});

test('norms and means of very large and very small doubles neither overflow nor vanish', () => {
  const large = distance('float64', doubles(1e200, 1e200, 1e308, 1e308), doubles(2e200, 1e200, 0, 0));
  assert.equal(large.maxDistance, 1e308);
  assert.ok(Math.abs((large.relative ?? 0) - 1) < 1e-12);
  assert.ok(Math.abs((large.meanDistance ?? 0) / 5e307 - 1) < 1e-12);
  const small = distance('float64', doubles(3e-200, 4e-200), doubles(3e-200, 4.5e-200));
  assert.ok(Math.abs((small.relative ?? 0) - 0.1) < 1e-12);
  const smallest = distance('float64', doubles(5e-324), doubles(1e-323));
  assert.deepEqual([smallest.maxDistance, smallest.meanDistance, smallest.relative], [5e-324, 5e-324, 1]);
  const all = new Float64Array(1000).fill(Number.MAX_VALUE);
  const mean = distance('float64', all, new Float64Array(1000)).meanDistance ?? 0;
  assert.ok(Math.abs(mean / Number.MAX_VALUE - 1) < 1e-12);
});

test('complex numbers are as far apart as whole elements', () => {
  const found = distance('complex128', doubles(1, 1, 0, 0), doubles(4, 5, 0, 0));
  assert.deepEqual(
    [found.elements, found.elementsTotal, found.maxDistance, found.meanDistance],
    [1, 2, 5, 2.5],
  );
  assert.equal(found.relative, 5 / Math.sqrt(2));
  const lost = distance('complex64', Float32Array.of(1, 1), Float32Array.of(1, Number.NaN));
  assert.deepEqual([lost.becameNonFinite, lost.maxDistance], [1, null]);
  const far = distance('complex128', doubles(1.5e308, 0), doubles(0, 1.5e308));
  assert.deepEqual([far.beyondDouble, far.maxDistance], [1, null]);
});

test('64-bit integers are subtracted exactly', () => {
  const ids = distance('int64', BigInt64Array.of(2n ** 62n + 1n, 0n), BigInt64Array.of(2n ** 62n + 256n, 0n));
  assert.deepEqual([ids.maxDistance, ids.meanDistance], [255, 127.5]);
  const ends = distance('int64', BigInt64Array.of(-(2n ** 63n)), BigInt64Array.of(2n ** 63n - 1n));
  assert.equal(ends.maxDistance, 2n ** 64n - 1n);
  assert.equal(exactJson({ far: ends.maxDistance }), '{"far":18446744073709551615}');
  const hashes = distance('uint64', BigUint64Array.of(2n ** 64n - 1n), BigUint64Array.of(2n ** 64n - 2n));
  assert.equal(hashes.maxDistance, 1);
});

test('the other sign of zero is a difference of 0', () => {
  const found = distance('float64', doubles(0, 1), doubles(-0, 1));
  assert.deepEqual([found.elements, found.maxDistance, found.meanDistance, found.relative], [1, 0, 0, 0]);
});
