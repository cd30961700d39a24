/** Texts of tensors: parsed to the numbers that they say, or refused. What is taken is checked against JavaScript's own numbers. */

import { DTYPES, type DType } from '../../../src/checkpoint/tensor.ts';
import { parseElements, renderElements, type TextLayout } from '../../../src/numbers/element-text.ts';
import { expect, OPENED, type Outcome } from '../judge.ts';
import { EDGES, mutateBytes, TEXTS } from '../mutate/bytes.ts';
import type { Random } from '../random.ts';
import type { Scene, Target } from '../target.ts';

export const textTarget: Target = {
  name: 'text',
  weight: 8,
  make(random) {
    const text = mutate(random);
    return { label: text.dtype, bytes: text.bytes, drive: (scene) => drive(scene, text) };
  },
};

interface Text {
  readonly dtype: DType;
  readonly bytes: Buffer;
  readonly count: number;
  readonly layout: TextLayout;
}

const KINDS: readonly DType[] = [
  ...([
    'float64',
    'float64',
    'float32',
    'float16',
    'bfloat16',
    'float8_e4m3fn',
    'float8_e5m2',
    'float8_e8m0fnu',
  ] as const),
  ...([
    'int8',
    'int16',
    'int32',
    'int64',
    'uint8',
    'uint16',
    'uint32',
    'uint64',
    'bool',
    'complex32',
    'complex64',
    'complex128',
  ] as const),
];

function mutate(random: Random): Text {
  const dtype = random.pick(KINDS);
  const layout: TextLayout = { columns: random.between(1, 4), separator: random.pick([' ', ',']) };
  const count = layout.columns * random.between(1, 4);
  const numbers = Array.from({ length: count }, () => number(random, dtype));
  let text = '';
  for (const [index, one] of numbers.entries()) {
    text += `${one}${(index + 1) % layout.columns === 0 ? '\n' : layout.separator}`;
  }
  if (random.once(5))
    text = text.replace('\n', random.pick(['\r\n', '\n\n', '\n# comment 1 2\n', ' \n', ',\n']));
  const bytes = random.once(6) ? mutateBytes(random, Buffer.from(text)) : Buffer.from(text);
  return { dtype, bytes, count, layout };
}

/** Mostly one that the dtype has. */
function number(random: Random, dtype: DType): string {
  if (random.once(80)) return random.pick(TEXTS);
  if (dtype === 'bool') return random.pick(['True', 'False', '0', '1', 'true']);
  if (dtype.startsWith('complex')) {
    const [one, other] = [decimal(random), decimal(random).replace(/^[+-]?/, '')];
    return random.pick(['1+2j', '-0-0j', `${one}+${other}j`, `${one}-${other}j`, `${one}j`, 'nan+infj']);
  }
  if (dtype.startsWith('float')) {
    return random.once(12) ? random.pick(['nan', '-nan', 'inf', '-inf', 'NaN', 'Infinity']) : decimal(random);
  }
  const sign = !dtype.startsWith('u') && random.once(3) ? '-' : '';
  const bits = BigInt(DTYPES[dtype] * 8);
  const fitting = EDGES.filter((value) => value < 2n ** (bits - 1n));
  return random.once(30) ? `${random.pick(EDGES)}` : `${sign}${random.pick(fitting)}`;
}

/** Decimals of all lengths and exponents, at the edges of formats too. */
function decimal(random: Random): string {
  const digits = (most: number) =>
    Array.from({ length: random.between(1, most) }, () => random.below(10)).join('');
  const sign = random.pick(['', '', '-', '+']);
  if (random.once(40)) return random.pick(['1e', 'e5', '0x1p3', '1_0', '--1', '1.2.3', '']);
  switch (random.below(6)) {
    case 0:
      return `${sign}${digits(3)}`;
    case 1:
      return `${sign}${digits(20)}.${digits(40)}`;
    case 2:
      return `${sign}${digits(2)}.${digits(17)}e${random.between(-330, 310)}`;
    case 3:
      return `${sign}${random.pick(['1.7976931348623157e308', '4.9e-324', '2.4703282292062327e-324', '65504', '65520', '448', '464', '9007199254740993', '.5', '5.', '1e-400', '1e400'])}`;
    case 4:
      return `${sign}0.${'0'.repeat(random.below(400))}${digits(5)}`;
    default:
      return `${sign}${digits(400)}`;
  }
}

async function drive({ clock }: Scene, text: Text): Promise<Outcome> {
  return clock.run('text', () => check(text));
}

async function check({ dtype, bytes, count, layout }: Text): Promise<Outcome> {
  const elements = Buffer.alloc(count * DTYPES[dtype], 0x55);
  const fault = await parseElements(dtype, bytes, elements, layout);
  if (fault !== undefined) {
    expect(
      fault.line >= 1 && fault.column >= 1 && fault.reason.length < 1000,
      () => `fault ${JSON.stringify(fault)}`,
    );
    return { kind: 'refused', code: 'EINVAL' };
  }
  const rendered = await renderElements(dtype, elements, layout);
  const again = Buffer.from(elements);
  const other = await parseElements(dtype, rendered, again, layout);
  expect(
    other === undefined && again.equals(elements),
    () => `${dtype}: its own text is read as other numbers: ${rendered}`,
  );
  if (dtype === 'float64') checkDoubles(bytes, elements);
  else if (/^u?int/.test(dtype)) checkIntegers(bytes, elements, dtype);
  return OPENED;
}

function words(text: Uint8Array): string[] {
  return Buffer.from(text)
    .toString('latin1')
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .flatMap((line) => line.split(/[\s,]+/))
    .filter((word) => word !== '');
}

function checkDoubles(text: Uint8Array, elements: Buffer): void {
  for (const [index, word] of words(text).entries()) {
    const actual = elements.readDoubleLE(index * 8);
    const name = word.toLowerCase().replace(/^[+-]/, '');
    if (name === 'nan') expect(Number.isNaN(actual), () => `${word} was read as ${actual}`);
    else if (name.startsWith('inf'))
      expect(Math.abs(actual) === Number.POSITIVE_INFINITY, () => `${word} was read as ${actual}`);
    else expect(Object.is(actual, Number(word)), () => `${word} was read as ${actual}, not ${Number(word)}`);
  }
}

function checkIntegers(text: Uint8Array, elements: Buffer, dtype: DType): void {
  const size = DTYPES[dtype];
  for (const [index, word] of words(text).entries()) {
    const bits = BigInt(
      `0x${Buffer.from(elements.subarray(index * size, (index + 1) * size))
        .reverse()
        .toString('hex')}`,
    );
    const actual = dtype.startsWith('u') ? bits : BigInt.asIntN(size * 8, bits);
    const wanted = /^[+-]?\d+$/.test(word) ? BigInt(word.replace(/^\+/, '')) : BigInt(Number(word));
    expect(actual === wanted, () => `${word} was read as ${actual}`);
  }
}
