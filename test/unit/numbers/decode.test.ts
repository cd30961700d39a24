import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DTYPE_NAMES, DTYPE_ROWS, type DType } from '../../../src/checkpoint/dtypes.ts';
import { encodeElement } from '../../../src/checkpoint/element-encoding.ts';
import { decoderOf } from '../../../src/numbers/decode.ts';

const decode = (dtype: DType, ...bytes: number[]) =>
  Array.from(decoderOf(dtype)?.(Uint8Array.from(bytes)) ?? []);

test('a byte of float4_e2m1fn_x2 is two numbers, the first in the low bits', () => {
  const positive = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
  const values = [...positive, ...positive.map((value) => -value)];
  for (const [code, value] of values.entries()) {
    assert.deepEqual(decode('float4_e2m1fn_x2', code), [value, 0]);
    assert.deepEqual(decode('float4_e2m1fn_x2', code * 16), [0, value]);
  }
});

test('the integers of packed quantized dtypes follow each other from the low bits', () => {
  assert.deepEqual(decode('quint4x2', 0x21, 0xf0), [1, 2, 0, 15]);
  assert.deepEqual(decode('quint2x4', 0b11_10_01_00), [0, 1, 2, 3]);
});

test('what is written reads back: one text, then as many numbers as fit its bytes', () => {
  for (const dtype of DTYPE_NAMES) {
    if (DTYPE_ROWS[dtype].format === undefined) {
      assert.equal(decoderOf(dtype), undefined, dtype);
      assert.equal(encodeElement('1', dtype), undefined, dtype);
      continue;
    }
    const bytes = encodeElement('1', dtype) ?? assert.fail(dtype);
    const values = Array.from(decoderOf(dtype)?.(bytes) ?? []);
    const one = DTYPE_ROWS[dtype].kind === 'complex' ? [1, 0] : values.map(() => 1);
    assert.deepEqual(values, one, dtype);
    assert.ok(values.length > 0);
  }
});

test('bytes that begin at an odd address are read all the same', () => {
  const bytes = Uint8Array.of(0, 0, 0x3c, 0, 0xc0).subarray(1);
  assert.deepEqual(Array.from(decoderOf('float16')?.(bytes) ?? []), [1, -2]);
});
