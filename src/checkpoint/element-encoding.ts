/** Converts a number to the bytes of one element, with which a tensor is filled when `0.5` is written to its file. */
import { DTYPE_ROWS, type DType, type FloatFormat, type IntegerFormat, partsOf } from './dtypes.ts';

/**
 * The element's little-endian bytes, as in the tensor's file; where elements share a byte, the byte with all of them. Floats are rounded
 * to nearest, ties to even, and overflow to infinity if the dtype has it. Undefined if the dtype has no such number: a fraction for an integer, a
 * value out of range, or any number for a dtype whose bits are not numbers.
 */
export function encodeElement(text: string, dtype: DType): Buffer | undefined {
  const number = text.trim();
  const { format } = DTYPE_ROWS[dtype];
  switch (format?.kind) {
    case undefined:
      return undefined;
    case 'float':
      return partsOf(dtype) === 2 ? encodeComplex(number, format) : encodeReal(number, format);
    case 'exponent':
      return encodePowerOfTwo(number);
    case 'integer':
      return encodeInteger(number, format);
    case 'bool':
      return encodeBool(number);
  }
}

const REAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const INFINITE = /^([+-]?)inf(?:inity)?$/i;

function parseReal(text: string): number | undefined {
  if (REAL.test(text)) return Number(text);
  if (/^[+-]?nan$/i.test(text)) return Number.NaN;
  const [, sign] = INFINITE.exec(text) ?? [];
  if (sign === undefined) return undefined;
  return sign === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

function encodeReal(text: string, format: FloatFormat): Buffer | undefined {
  const value = parseReal(text);
  return value === undefined ? undefined : encodeFloat(value, format);
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
  buffer.writeUIntLE(bits < 8 ? repeated(code, bits) : code, 0, buffer.length);
  return buffer;
}

function floatCode(value: number, format: FloatFormat): number | undefined {
  const { bits, mantissaBits, bias, special, nan } = format;
  const signBit = 2 ** (bits - 1);
  if (Number.isNaN(value)) return nan;
  const sign = value < 0 || Object.is(value, -0) ? signBit : 0;
  const code = magnitudeCode(Math.abs(value), mantissaBits, bias);
  const largest = largestFiniteCode(format);
  if (code > largest) return special === 'ieee' ? sign + largest + 1 : undefined;
  if (code === 0 && special === 'negative-zero') return 0;
  return sign + code;
}

/** The largest finite code, without the sign bit. */
function largestFiniteCode({ bits, mantissaBits, special }: FloatFormat): number {
  const all = 2 ** (bits - 1) - 1;
  if (special === 'ieee') return all - 2 ** mantissaBits;
  return special === 'last' ? all - 1 : all;
}

/** A byte that repeats a code of less than 8 bits. */
function repeated(code: number, bits: number): number {
  return code * (0xff / (2 ** bits - 1));
}

/** The bits below the sign, rounded to nearest even; a value that is too large gets a code above the format's largest. */
function magnitudeCode(value: number, mantissaBits: number, bias: number): number {
  if (value === 0) return 0;
  if (value === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  const exponent = Math.max(exponentOf(value), 1 - bias);
  // In units of the last place: exact, since powers of two scale without rounding.
  const units = roundToEven(value * 2 ** (mantissaBits - exponent));
  return (exponent + bias - 1) * 2 ** mantissaBits + units;
}

/** The exponent of the highest bit. The logarithm alone can be off by one near a power of two. */
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

function encodeComplex(text: string, format: FloatFormat): Buffer | undefined {
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

/** float8_e8m0fnu has only an exponent: powers of two, without zero and sign. Rounds to the nearest power, ties to the larger. */
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
  if (bits < 8) return Buffer.of(repeated(Number(value), bits));
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt.asUintN(64, value));
  return buffer.subarray(0, bits / 8);
}
