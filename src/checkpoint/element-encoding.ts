/** A number as the bytes of one element: what fills a tensor when somebody writes `0.5` into its file. */
import type { DType } from './tensor.ts';

/**
 * The element's bytes, little-endian, as the tensor's file shows it; for elements that share a byte the byte with all of them. Floats are rounded
 * to nearest, ties to even, and overflow to infinity where the type has one. Undefined for a text that is no number of the dtype: a
 * fraction for integers, a value out of range, a type whose bits are no numbers.
 */
export function encodeElement(text: string, dtype: DType): Buffer | undefined {
  const number = text.trim();
  const float = FLOATS[dtype];
  if (float !== undefined) {
    const value = parseReal(number);
    return value === undefined ? undefined : encodeFloat(value, float);
  }
  const part = COMPLEX[dtype];
  if (part !== undefined) return encodeComplex(number, part);
  if (dtype === 'bool') return encodeBool(number);
  if (dtype === 'float8_e8m0fnu') return encodePowerOfTwo(number);
  const integer = INTEGERS[dtype];
  return integer === undefined ? undefined : encodeInteger(number, integer);
}

interface FloatFormat {
  /** 4: two elements a byte. */
  readonly bits: 4 | 8 | 16 | 32 | 64;
  readonly mantissaBits: number;
  readonly bias: number;
  /** The code of NaN; undefined where there is none. */
  readonly nan: number | undefined;
  /** Infinity follows the largest finite code. */
  readonly infinite: boolean;
  readonly maxFinite: number;
}

const FLOATS: Readonly<Partial<Record<DType, FloatFormat>>> = {
  float64: {
    bits: 64,
    mantissaBits: 52,
    bias: 1023,
    nan: undefined,
    infinite: true,
    maxFinite: Number.MAX_VALUE,
  },
  float32: {
    bits: 32,
    mantissaBits: 23,
    bias: 127,
    nan: 0x7fc00000,
    infinite: true,
    maxFinite: (2 - 2 ** -23) * 2 ** 127,
  },
  float16: { bits: 16, mantissaBits: 10, bias: 15, nan: 0x7e00, infinite: true, maxFinite: 65504 },
  bfloat16: {
    bits: 16,
    mantissaBits: 7,
    bias: 127,
    nan: 0x7fc0,
    infinite: true,
    maxFinite: (2 - 2 ** -7) * 2 ** 127,
  },
  // NaN as torch writes it: of the three codes the last.
  float8_e5m2: { bits: 8, mantissaBits: 2, bias: 15, nan: 0x7f, infinite: true, maxFinite: 57344 },
  // The last code of the highest exponent is NaN (OCP 8-bit floating point, E4M3).
  float8_e4m3fn: { bits: 8, mantissaBits: 3, bias: 7, nan: 0x7f, infinite: false, maxFinite: 448 },
  // No negative zero: its code is NaN.
  float8_e4m3fnuz: { bits: 8, mantissaBits: 3, bias: 8, nan: 0x80, infinite: false, maxFinite: 240 },
  float8_e5m2fnuz: { bits: 8, mantissaBits: 2, bias: 16, nan: 0x80, infinite: false, maxFinite: 57344 },
  float4_e2m1fn_x2: { bits: 4, mantissaBits: 1, bias: 1, nan: undefined, infinite: false, maxFinite: 6 },
};

const COMPLEX: Readonly<Partial<Record<DType, 'float16' | 'float32' | 'float64'>>> = {
  complex32: 'float16',
  complex64: 'float32',
  complex128: 'float64',
};

interface IntegerFormat {
  /** Below 8: several elements a byte. */
  readonly bits: 2 | 4 | 8 | 16 | 32 | 64;
  readonly signed: boolean;
}

const INTEGERS: Readonly<Partial<Record<DType, IntegerFormat>>> = {
  int8: { bits: 8, signed: true },
  int16: { bits: 16, signed: true },
  int32: { bits: 32, signed: true },
  int64: { bits: 64, signed: true },
  uint8: { bits: 8, signed: false },
  uint16: { bits: 16, signed: false },
  uint32: { bits: 32, signed: false },
  uint64: { bits: 64, signed: false },
  // Of quantized tensors the integers.
  qint8: { bits: 8, signed: true },
  qint32: { bits: 32, signed: true },
  quint8: { bits: 8, signed: false },
  quint4x2: { bits: 4, signed: false },
  quint2x4: { bits: 2, signed: false },
};

const REAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const INFINITE = /^([+-]?)inf(?:inity)?$/i;

function parseReal(text: string): number | undefined {
  if (REAL.test(text)) return Number(text);
  if (/^[+-]?nan$/i.test(text)) return Number.NaN;
  const [, sign] = INFINITE.exec(text) ?? [];
  if (sign === undefined) return undefined;
  return sign === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

/** Undefined when the format has no such value. */
function encodeFloat(value: number, format: FloatFormat): Buffer | undefined {
  const { bits } = format;
  const buffer = Buffer.alloc(Math.ceil(bits / 8));
  if (bits === 64) {
    buffer.writeDoubleLE(value);
    return buffer;
  }
  const code = floatCode(value, format);
  if (code === undefined) return undefined;
  buffer.writeUIntLE(bits === 4 ? repeated(code, bits) : code, 0, buffer.length);
  return buffer;
}

function floatCode(
  value: number,
  { bits, mantissaBits, bias, nan, infinite, maxFinite }: FloatFormat,
): number | undefined {
  const signBit = 2 ** (bits - 1);
  if (Number.isNaN(value)) return nan;
  const sign = value < 0 || Object.is(value, -0) ? signBit : 0;
  const code = magnitudeCode(Math.abs(value), mantissaBits, bias);
  const largest = magnitudeCode(maxFinite, mantissaBits, bias);
  if (code > largest) return infinite ? sign + largest + 1 : undefined;
  // The types without a negative zero have NaN at its code.
  if (code === 0 && nan === signBit) return 0;
  return sign + code;
}

/** A byte full of elements of less than 8 bits. */
function repeated(code: number, bits: 2 | 4): number {
  return code * (bits === 4 ? 0x11 : 0x55);
}

/** The bits below the sign, rounded to nearest even; what is too large comes out above the largest code of the type. */
function magnitudeCode(value: number, mantissaBits: number, bias: number): number {
  if (value === 0) return 0;
  if (value === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  const exponent = Math.max(exponentOf(value), 1 - bias);
  // In units of the last place: exact, since powers of two scale without rounding.
  const units = roundToEven(value * 2 ** (mantissaBits - exponent));
  return (exponent + bias - 1) * 2 ** mantissaBits + units;
}

/** Of the highest bit. The logarithm alone may be off by one beside a power of two. */
function exponentOf(value: number): number {
  const guess = Math.floor(Math.log2(value));
  if (2 ** guess > value) return guess - 1;
  return 2 ** (guess + 1) <= value ? guess + 1 : guess;
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

function encodeComplex(text: string, part: 'float16' | 'float32' | 'float64'): Buffer | undefined {
  const format = FLOATS[part];
  if (format === undefined) return undefined;
  const [real, imaginary] = complexParts(text.replace(/^\((.*)\)$/, '$1').trim());
  const first = real === undefined ? undefined : encodeFloat(real, format);
  const second = imaginary === undefined ? undefined : encodeFloat(imaginary, format);
  return first === undefined || second === undefined ? undefined : Buffer.concat([first, second]);
}

/** `1.5`, `2j`, `1+2j`, `-1e-3-2.5j`, `1-j`. */
function complexParts(text: string): [number | undefined, number | undefined] {
  if (!/j$/i.test(text)) return [parseReal(text), 0];
  const body = text.slice(0, -1);
  // The sign between the parts is the last one that is not an exponent's.
  const [, real, imaginary = body] = /^(.*[^e])([+-].*)$/i.exec(body) ?? [];
  return [real === undefined ? 0 : parseReal(real), parseReal(imaginary.replace(/^[+-]?$/, '$&1'))];
}

/** float8_e8m0fnu is an exponent and nothing else: powers of two, no zero, no sign. The nearest, of two equally near the larger. */
function encodePowerOfTwo(text: string): Buffer | undefined {
  const value = parseReal(text);
  if (value === undefined) return undefined;
  if (Number.isNaN(value)) return Buffer.of(0xff);
  if (!(value >= 2 ** -127 && value < 1.5 * 2 ** 127)) return undefined;
  const exponent = exponentOf(value);
  return Buffer.of(exponent + 127 + (value >= 1.5 * 2 ** exponent ? 1 : 0));
}

function encodeBool(text: string): Buffer | undefined {
  if (/^(?:true|1(?:\.0*)?)$/i.test(text)) return Buffer.of(1);
  if (/^(?:false|0(?:\.0*)?)$/i.test(text)) return Buffer.of(0);
  return undefined;
}

function encodeInteger(text: string, { bits, signed }: IntegerFormat): Buffer | undefined {
  // `0.0` is an integer's value, too.
  const [, digits] = /^([+-]?\d+)(?:\.0*)?$/.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const value = BigInt(digits.replace(/^\+/, ''));
  if ((signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value)) !== value) return undefined;
  if (bits === 2 || bits === 4) return Buffer.of(repeated(Number(value), bits));
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt.asUintN(64, value));
  return buffer.subarray(0, bits / 8);
}
