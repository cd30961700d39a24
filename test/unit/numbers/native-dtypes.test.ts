/** The addon has a table of its own (native/elements.cc). What it makes of an element's bits must be what the table of dtypes says, row by row. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DTYPE_NAMES,
  DTYPE_ROWS,
  type DType,
  elementsPerItem,
  numbersPerItem,
  partsOf,
} from '../../../src/checkpoint/dtypes.ts';
import { encodeElement } from '../../../src/checkpoint/element-encoding.ts';
import { decoderOf } from '../../../src/numbers/decode.ts';
import { parseElements, renderElements } from '../../../src/numbers/element-text.ts';
import { loadNative } from '../../../src/storage/native.ts';

const native = loadNative() ?? assert.fail('the addon is built');

/** What the addon computes with: numbers that have bytes of their own. */
function isWholeNumber(dtype: DType): boolean {
  return (
    DTYPE_ROWS[dtype].format !== undefined && numbersPerItem(dtype) === 1 && elementsPerItem(dtype) === 1
  );
}

/** Bytes that tell the row of one dtype from any other: all codes of up to 16 bits; of wider elements each bit alone, none and all. */
function probes(dtype: DType): Uint8Array {
  const { itemsize } = DTYPE_ROWS[dtype];
  const width = itemsize / partsOf(dtype);
  if (width === 1) return Uint8Array.from({ length: 256 }, (_, code) => code);
  if (width === 2) return new Uint8Array(Uint16Array.from({ length: 65536 }, (_, code) => code).buffer);
  const bits = Array.from({ length: width * 8 }, (_, bit) => 1n << BigInt(bit));
  const all = (1n << BigInt(width * 8)) - 1n;
  const codes = [0n, all, ...bits, ...bits.map((bit) => all ^ bit)];
  const bytes = Buffer.alloc(codes.length * width);
  for (const [index, code] of codes.entries()) {
    if (width === 4) bytes.writeUInt32LE(Number(code), index * width);
    else bytes.writeBigUInt64LE(code, index * width);
  }
  return bytes;
}

for (const dtype of DTYPE_NAMES) {
  test(`${dtype} is the same number to the addon`, async () => {
    assert.equal(native.isNumber(dtype), isWholeNumber(dtype));
    if (!isWholeNumber(dtype)) return;
    const { itemsize, kind } = DTYPE_ROWS[dtype];
    const bytes = probes(dtype);
    const texts = Buffer.from(await renderElements(dtype, bytes, { columns: 1, separator: ' ' }))
      .toString()
      .trimEnd()
      .split('\n');
    assert.equal(texts.length, bytes.length / itemsize);

    const layout = { columns: 1, separator: ' ' } as const;
    const parsed = Buffer.alloc(bytes.length);
    assert.equal(await parseElements(dtype, Buffer.from(`${texts.join('\n')}\n`), parsed, layout), undefined);
    const encoded = texts.map((text) => encodeElement(text, dtype) ?? assert.fail(`${dtype}: ${text}`));
    const written = Buffer.concat(encoded);
    assert.ok(parsed.equals(written), 'both write the same bits for a text');
    const decode = decoderOf(dtype) ?? assert.fail();
    const values = Array.from(decode(bytes));
    // Any byte but 0 is true, and True is written as 1.
    const expected = kind === 'bool' ? values.map((value) => Math.min(1, value)) : values;
    assert.deepEqual(Array.from(decode(written)), expected, 'the texts are the numbers');
  });
}

test('statistics of the addon have the values of the table', async () => {
  const each = DTYPE_NAMES.filter(isWholeNumber).flatMap((dtype) =>
    [true, false].map((plain) => ({ dtype, plain })),
  );
  for (const { dtype, plain } of each) {
    const bytes = probes(dtype);
    const statistics = new native.Statistics(dtype, plain);
    await statistics.add(0, bytes);
    const found = statistics.result();
    const parts = Array.from(decoderOf(dtype)?.(bytes) ?? []);
    const values = partsOf(dtype) === 1 ? parts : magnitudes(parts);
    const finite = values.filter(Number.isFinite);
    assert.equal(found.count, values.length, dtype);
    assert.equal(found.nans, values.filter(Number.isNaN).length, dtype);
    assert.equal(found.infs, values.length - finite.length - found.nans, dtype);
    assert.equal(found.zeros, finite.filter((value) => value === 0).length, dtype);
    if (partsOf(dtype) === 2) continue;
    // Any byte but 0 is true; 64-bit integers are exact there and rounded here.
    const most = finite.reduce((a, b) => Math.max(a, b));
    assert.equal(
      Number(found.min),
      finite.reduce((a, b) => Math.min(a, b)),
      dtype,
    );
    assert.equal(Number(found.max), DTYPE_ROWS[dtype].kind === 'bool' ? 1 : most, dtype);
  }
});

function magnitudes(parts: readonly number[]): number[] {
  const values: number[] = [];
  for (let at = 0; at < parts.length; at += 2) values.push(Math.hypot(parts[at] ?? 0, parts[at + 1] ?? 0));
  return values;
}
