/** Elements as text: what is written reads back to the same bits, and Python reads the same numbers. */
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeElement } from '../../../src/checkpoint/element-encoding.ts';
import { DTYPES, type DType } from '../../../src/checkpoint/tensor.ts';
import {
  hasText,
  parseElements,
  renderElements,
  type TextLayout,
} from '../../../src/numbers/element-text.ts';
import { DEBIAN_PYTHON, requires } from '../../support/requires.ts';
import { output } from '../../support/run.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const ROWS: TextLayout = { columns: 8, separator: ' ' };
const dtypes = Object.keys(DTYPES) as DType[];
const WITHOUT_TEXT = [
  'float4_e2m1fn_x2',
  'quint4x2',
  'quint2x4',
  'bits8',
  'bits16',
  'bits1x8',
  'bits2x4',
  'bits4x2',
  ...[1, 2, 3, 4, 5, 6, 7].map((bits) => `uint${bits}`),
  ...[1, 2, 3, 4, 5, 6, 7].map((bits) => `int${bits}`),
];

const text = async (dtype: DType, bytes: Uint8Array, layout = ROWS) =>
  Buffer.from(await renderElements(dtype, bytes, layout)).toString();

/** All codes of small dtypes, random bits of the others. */
function samples(dtype: DType): Buffer {
  const size = DTYPES[dtype];
  if (size === 1) return Buffer.from(Array.from({ length: 256 }, (_, code) => code));
  if (size === 2) return Buffer.from(Uint16Array.from({ length: 65536 }, (_, code) => code).buffer);
  return randomFillSync(Buffer.alloc(size * 4096));
}

test('dtypes whose elements are numbers have text, and no others', () => {
  assert.deepEqual(
    dtypes.filter((dtype) => !hasText(dtype)),
    WITHOUT_TEXT,
  );
});

for (const dtype of dtypes.filter((name) => !WITHOUT_TEXT.includes(name))) {
  test(`${dtype}: what is written reads back to the same bits`, async () => {
    const bytes = samples(dtype);
    const written = await renderElements(dtype, bytes, ROWS);
    const same = Buffer.from(bytes);
    assert.equal(await parseElements(dtype, written, same, ROWS), undefined);
    assert.ok(same.equals(bytes), 'nothing changes, the bits of NaN included');
    const empty = Buffer.alloc(bytes.length, dtype === 'bool' ? 2 : 0);
    assert.equal(await parseElements(dtype, written, empty, ROWS), undefined);
    assert.equal(await text(dtype, empty), written.toString(), 'into zeroes');
  });

  test(`${dtype}: reads numbers as a file that is filled does`, async () => {
    const size = DTYPES[dtype];
    const numbers = [
      '0',
      '-0',
      '1',
      '-1',
      '3',
      '0.1',
      '1e-3',
      '65519',
      '65520',
      '1e39',
      '-1e-50',
      '255',
      '256',
      'nan',
    ];
    for (const number of [
      ...numbers,
      'inf',
      '-inf',
      '17.5',
      '448',
      '464',
      '465',
      '2.5',
      '300',
      '1e400',
      '5e-324',
    ]) {
      if (dtype === 'bool' && /^-|\./.test(number)) continue;
      const element = Buffer.alloc(size, dtype === 'bool' ? 0 : 0x11);
      const fault = await parseElements(dtype, Buffer.from(number), element, ROWS);
      const expected = encodeElement(number, dtype);
      assert.equal(fault === undefined, expected !== undefined, `${number}: ${fault?.reason}`);
      if (expected !== undefined) assert.deepEqual(element, Buffer.from(expected), number);
    }
  });
}

const READ = `
import sys, numpy as np
dtype, path = sys.argv[1:]
bits = np.fromfile(path + '.bin', dtype=dtype)
texts = open(path + '.txt').read().split()
assert len(texts) == len(bits), (len(texts), len(bits))
back = np.array([float(t) for t in texts]).astype(dtype)
same = (back.view('u%d' % bits.itemsize) == bits.view('u%d' % bits.itemsize)) | (np.isnan(back) & np.isnan(bits))
assert same.all(), texts[int(np.argmin(same))]
for t, b in zip(texts, bits):
    if np.isfinite(b): assert len(t) <= len(np.format_float_scientific(b, unique=True, trim='-', exp_digits=2)), (t, b)
print(len(texts))
`;

for (const [dtype, name] of [
  ['float16', '<f2'],
  ['float32', '<f4'],
  ['float64', '<f8'],
] as const) {
  test(
    `${dtype}: Python reads the same numbers, and numpy writes them no shorter`,
    requires('python3-numpy'),
    async (t) => {
      const path = join(await temporaryDirectory(t), 'numbers');
      const bytes = samples(dtype);
      await writeFile(`${path}.bin`, bytes);
      await writeFile(`${path}.txt`, await renderElements(dtype, bytes, ROWS));
      const read = await output(DEBIAN_PYTHON, ['-c', READ, name, path]);
      assert.equal(Number(read), bytes.length / DTYPES[dtype]);
    },
  );
}

test('rows have the separator between numbers and a newline at their end', async () => {
  const bytes = Buffer.from(Float32Array.of(1, 0.5, -2, Number.NaN, Number.NEGATIVE_INFINITY).buffer);
  assert.equal(await text('float32', bytes, { columns: 2, separator: ' ' }), '1 0.5\n-2 nan\n-inf\n');
  const csv = await renderElements('float32', bytes, { columns: 5, separator: ',' });
  assert.equal(csv.toString(), '1,0.5,-2,nan,-inf\n');
  assert.equal(await text('bool', Buffer.of(1, 0)), 'True False\n');
  const complex = Buffer.from(Float64Array.of(1, -0.5, 0, 2).buffer);
  assert.equal(await text('complex128', complex), '1-0.5j 0+2j\n');
  assert.equal(
    await text('int64', Buffer.from(BigInt64Array.of(-(2n ** 63n)).buffer)),
    '-9223372036854775808\n',
  );
});

test('spaces, commas, comments and empty lines are passed over', async () => {
  const into = Buffer.alloc(16);
  const fault = await parseElements(
    'float32',
    Buffer.from('# a head\n\n  1,\t+2 \r\n# [1, :]\n3 , 4'),
    into,
    { columns: 2, separator: ' ' },
  );
  assert.equal(fault, undefined);
  assert.deepEqual([...new Float32Array(into.buffer, into.byteOffset, 4)], [1, 2, 3, 4]);
});

for (const [written, line, column, reason] of [
  ['1 2\n3 x4\n', 2, 3, /'x4' is not a number/],
  ['1 2\n3\n', 2, 2, /has 1 numbers and not 2/],
  ['1 2\n3 4 5\n', 2, 5, /more than 2 numbers/],
  ['1 2\n3 4\n5\n', 3, 1, /more than the 4 numbers/],
  ['1 2\n', 2, 1, /ends after 2 of 4/],
  ['1,,2\n3 4\n', 1, 3, /missing/],
  ['1 2,\n3 4\n', 1, 5, /missing/],
  ['1 0x10\n3 4\n', 1, 3, /is not a number/],
] as const) {
  test(`${JSON.stringify(written)} is refused at line ${line}, column ${column}`, async () => {
    const layout = { columns: 2, separator: ' ' } as const;
    const fault = await parseElements('float32', Buffer.from(written), Buffer.alloc(16), layout);
    assert.deepEqual([fault?.line, fault?.column], [line, column]);
    assert.match(fault?.reason ?? '', reason);
  });
}

test('integers are refused when they are fractions or out of range', async () => {
  for (const [dtype, number, reason] of [
    ['uint8', '256', /out of range/],
    ['uint8', '-1', /out of range/],
    ['int8', '1.5', /is not an integer/],
    ['int64', '9223372036854775808', /out of range/],
    ['uint64', '1e3', /is not an integer/],
    ['int8', '+-5', /is not a number/],
    ['float8_e4m3fn', 'inf', /out of range/],
    ['bool', '2', /True/],
  ] as const) {
    const fault = await parseElements(dtype, Buffer.from(number), Buffer.alloc(DTYPES[dtype]), ROWS);
    assert.match(fault?.reason ?? 'none', reason, `${dtype} ${number}`);
  }
});
