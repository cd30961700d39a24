/** A number as the bytes of one element: what fills a tensor when somebody writes `0.5` into its file. */
import { DTYPES, type DType } from './tensor.ts';

/**
 * The element's bytes, little-endian, as the tensor's file shows it. Floats are rounded to nearest, ties to even, and overflow to
 * infinity where the type has one. Undefined for a text that is no number of the dtype: a fraction for integers, a value out of range, a type
 * whose bits are no numbers.
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
  const integer = INTEGERS[dtype];
  return integer === undefined ? undefined : encodeInteger(number, DTYPES[dtype], integer);
}

interface FloatFormat {
  readonly bytes: 1 | 2 | 4 | 8;
  readonly mantissaBits: number;
  readonly bias: number;
  /** ieee: infinities and NaNs in the highest exponent. finite: only NaN, at the given code. */
  readonly special: 'ieee' | { readonly nan: number };
  readonly maxFinite: number;
}

const FLOATS: Readonly<Partial<Record<DType, FloatFormat>>> = {
  float64: { bytes: 8, mantissaBits: 52, bias: 1023, special: 'ieee', maxFinite: Number.MAX_VALUE },
  float32: { bytes: 4, mantissaBits: 23, bias: 127, special: 'ieee', maxFinite: (2 - 2 ** -23) * 2 ** 127 },
  float16: { bytes: 2, mantissaBits: 10, bias: 15, special: 'ieee', maxFinite: 65504 },
  bfloat16: { bytes: 2, mantissaBits: 7, bias: 127, special: 'ieee', maxFinite: (2 - 2 ** -7) * 2 ** 127 },
  float8_e5m2: { bytes: 1, mantissaBits: 2, bias: 15, special: 'ieee', maxFinite: 57344 },
  // No infinity: the last code of the highest exponent is NaN (OCP 8-bit floating point, E4M3).
  float8_e4m3fn: { bytes: 1, mantissaBits: 3, bias: 7, special: { nan: 0x7f }, maxFinite: 448 },
  // Neither infinity nor a negative zero: its code is NaN.
  float8_e4m3fnuz: { bytes: 1, mantissaBits: 3, bias: 8, special: { nan: 0x80 }, maxFinite: 240 },
  float8_e5m2fnuz: { bytes: 1, mantissaBits: 2, bias: 16, special: { nan: 0x80 }, maxFinite: 57344 },
};

const COMPLEX: Readonly<Partial<Record<DType, 'float16' | 'float32' | 'float64'>>> = {
  complex32: 'float16',
  complex64: 'float32',
  complex128: 'float64',
};

const INTEGERS: Readonly<Partial<Record<DType, 'signed' | 'unsigned'>>> = {
  int8: 'signed',
  int16: 'signed',
  int32: 'signed',
  int64: 'signed',
  qint8: 'signed',
  qint32: 'signed',
  uint8: 'unsigned',
  uint16: 'unsigned',
  uint32: 'unsigned',
  uint64: 'unsigned',
  quint8: 'unsigned',
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
  const { bytes } = format;
  const buffer = Buffer.alloc(bytes);
  if (bytes === 8) {
    buffer.writeDoubleLE(value);
    return buffer;
  }
  if (bytes === 4) {
    buffer.writeFloatLE(value);
    return buffer;
  }
  const code = floatCode(value, format);
  if (code === undefined) return undefined;
  buffer.writeUIntLE(code, 0, bytes);
  return buffer;
}

function floatCode(
  value: number,
  { bytes, mantissaBits, bias, special, maxFinite }: FloatFormat,
): number | undefined {
  const signBit = 2 ** (bytes * 8 - 1);
  const infinity = signBit - 2 ** mantissaBits;
  if (Number.isNaN(value)) return special === 'ieee' ? infinity + 2 ** (mantissaBits - 1) : special.nan;
  const sign = value < 0 || Object.is(value, -0) ? signBit : 0;
  const code = magnitudeCode(Math.abs(value), mantissaBits, bias);
  const largest = magnitudeCode(maxFinite, mantissaBits, bias);
  if (code > largest) return special === 'ieee' ? sign + infinity : undefined;
  // The types without a negative zero have NaN at its code.
  if (code === 0 && special !== 'ieee' && special.nan === signBit) return 0;
  return sign + code;
}

/** The bits below the sign, rounded to nearest even; what is too large comes out above the largest code of the type. */
function magnitudeCode(value: number, mantissaBits: number, bias: number): number {
  if (value === 0) return 0;
  if (value === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  let exponent = Math.floor(Math.log2(value));
  if (2 ** exponent > value) exponent--;
  if (2 ** (exponent + 1) <= value) exponent++;
  exponent = Math.max(exponent, 1 - bias);
  // In units of the last place: exact, since powers of two scale without rounding.
  const units = roundToEven(value * 2 ** (mantissaBits - exponent));
  return (exponent + bias - 1) * 2 ** mantissaBits + units;
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

function encodeComplex(text: string, part: 'float16' | 'float32' | 'float64'): Buffer | undefined {
  const format = FLOATS[part];
  if (format === undefined) return undefined;
  const [real, imaginary] = complexParts(text.replace(/^\((.*)\)$/, '$1'));
  const first = real === undefined ? undefined : encodeFloat(real, format);
  const second = imaginary === undefined ? undefined : encodeFloat(imaginary, format);
  return first === undefined || second === undefined ? undefined : Buffer.concat([first, second]);
}

/** `1.5`, `2j`, `1+2j`, `-1e-3-2.5j`. */
function complexParts(text: string): [number | undefined, number | undefined] {
  if (!/j$/i.test(text)) return [parseReal(text), 0];
  const body = text.slice(0, -1);
  // The sign between the parts is the last one that is not an exponent's.
  const split = body.search(/(?<=[^e+-])[+-][^+-]*$/i);
  if (split > 0 && !/e$/i.test(body.slice(0, split)))
    return [parseReal(body.slice(0, split)), parseReal(body.slice(split))];
  return [0, parseReal(body)];
}

function encodeBool(text: string): Buffer | undefined {
  if (/^(?:true|1(?:\.0*)?)$/i.test(text)) return Buffer.of(1);
  if (/^(?:false|0(?:\.0*)?)$/i.test(text)) return Buffer.of(0);
  return undefined;
}

function encodeInteger(text: string, bytes: number, kind: 'signed' | 'unsigned'): Buffer | undefined {
  // `0.0` is an integer's value, too.
  const [, digits] = /^([+-]?\d+)(?:\.0*)?$/.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const value = BigInt(digits.replace(/^\+/, ''));
  const bits = bytes * 8;
  if ((kind === 'signed' ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value)) !== value)
    return undefined;
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt.asUintN(64, value));
  return buffer.subarray(0, bytes);
}
