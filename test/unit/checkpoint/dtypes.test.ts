/** The table of dtypes against what torch, safetensors and numpy say about them: dtypes/make.py asked them. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  DTYPE_NAMES,
  DTYPE_ROWS,
  type DType,
  dtypeOfNumpy,
  isFloating,
  numbersPerElement,
  numpyDescr,
  partsOf,
} from '../../../src/checkpoint/dtypes.ts';
import { SAFETENSORS_DTYPES } from '../../../src/checkpoint/safetensors-dtypes.ts';
import { bytesOfElements } from '../../../src/checkpoint/tensor.ts';
import { dtypeNamed, storageClass, tensorTypeName } from '../../../src/checkpoint/torch/dtype-names.ts';
import { decoderOf } from '../../../src/numbers/decode.ts';

interface Asked {
  readonly aliases: readonly string[];
  readonly itemsize: number;
  readonly bytes_of_eight: number;
  readonly type: string;
  readonly floating: boolean;
  readonly complex: boolean;
  readonly storage_class: string | null;
  readonly safetensors: string | null;
  readonly export_type: number | null;
  readonly numpy: string | null;
  readonly float32_sha256?: string;
}

const asked: Readonly<Record<string, Asked>> = JSON.parse(
  readFileSync(new URL('dtypes/torch-2.13.json', import.meta.url), 'utf8'),
);

test('the table has the dtypes that torch has, and no others', () => {
  assert.deepEqual([...DTYPE_NAMES].sort(), Object.keys(asked).sort());
});

for (const dtype of DTYPE_NAMES) {
  test(`${dtype} is what torch, safetensors and numpy say`, () => {
    const torch = asked[dtype] ?? assert.fail();
    const row = DTYPE_ROWS[dtype];
    assert.equal(row.itemsize, torch.itemsize);
    assert.equal(bytesOfElements(dtype, 8), torch.bytes_of_eight);
    assert.equal(isFloating(dtype), torch.floating);
    assert.equal(partsOf(dtype) === 2, torch.complex);
    assert.deepEqual(row.aliases ?? [], torch.aliases);
    assert.equal(`torch.${tensorTypeName(dtype)}`, torch.type);
    assert.equal(row.stored ? `${row.scalarType}Storage` : null, torch.storage_class);
    assert.equal(row.exportType ?? null, torch.export_type);
    // The package for torch has no names for what the format got later; tests of safetensors files have those.
    if (torch.safetensors !== null) assert.equal(row.safetensors, torch.safetensors);
    // torch gives no quantized tensor to numpy.
    if (row.kind !== 'quantized') assert.equal(numpyDescr(dtype) ?? null, torch.numpy);
  });

  test(`${dtype} is found by each of its names`, () => {
    const { scalarType, aliases = [], safetensors, numpy, kind } = DTYPE_ROWS[dtype];
    assert.equal(storageClass('torch', `${scalarType}Storage`), dtype);
    for (const name of [dtype, ...aliases]) assert.equal(dtypeNamed('torch', name), dtype);
    if (safetensors !== undefined) assert.equal(SAFETENSORS_DTYPES.get(safetensors), dtype);
    if (numpy !== undefined && kind !== 'quantized') assert.equal(dtypeOfNumpy(numpy), dtype);
  });
}

test('the values of all codes of a small float are those of torch', () => {
  let compared = 0;
  for (const dtype of DTYPE_NAMES) {
    const { itemsize } = DTYPE_ROWS[dtype];
    const expected = asked[dtype]?.float32_sha256;
    if (expected === undefined) continue;
    const codes = Array.from({ length: 256 ** itemsize }, (_, code) => code);
    const bytes = itemsize === 1 ? Uint8Array.from(codes) : new Uint8Array(Uint16Array.from(codes).buffer);
    const values = Float32Array.from(decoderOf(dtype)?.(bytes) ?? [], (value) =>
      Number.isNaN(value) ? 12345 : value,
    );
    const found = createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex');
    assert.equal(found, expected, dtype);
    compared++;
  }
  assert.equal(compared, 7);
});

test('names that every JavaScript object has are no dtypes', () => {
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    assert.equal(dtypeNamed('torch', name), undefined);
    assert.equal(storageClass('torch', `${name}Storage`), undefined);
    assert.equal(dtypeOfNumpy(name), undefined);
    assert.equal(SAFETENSORS_DTYPES.get(name), undefined);
  }
});

test('one dtype alone has two numbers in what torch counts as one element', () => {
  const several = DTYPE_NAMES.filter((dtype) => numbersPerElement(dtype) !== 1);
  assert.deepEqual(several, ['float4_e2m1fn_x2'] satisfies DType[]);
});
