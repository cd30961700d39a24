import { DTYPE_ROWS, type DType, type FloatFormat, type NumberFormat } from '../checkpoint/dtypes.ts';

/**
 * Converts elements to doubles; 64-bit integers are rounded. The two parts of a complex number follow each other, and so do the numbers that share
 * a byte, of which the first is in the lowest bits.
 */
export type Decode = (bytes: Uint8Array) => ArrayLike<number>;

/** The decoder of a dtype on this little-endian machine; undefined for dtypes whose elements are not numbers. */
export function decoderOf(dtype: DType): Decode | undefined {
  const { format } = DTYPE_ROWS[dtype];
  if (format === undefined) return undefined;
  const { bits } = format;
  const view = viewOf(format);
  if (view !== undefined) return (bytes) => wordsOf(view, bytes, bits / 8);
  if (format.kind === 'integer' && bits === 64) {
    const words: Words<ArrayLike<bigint>> = format.signed ? BigInt64Array : BigUint64Array;
    return (bytes) => Float64Array.from(wordsOf(words, bytes, 8), Number);
  }
  const table = Float64Array.from({ length: 2 ** bits }, (_, code) => decoded(code, format));
  return bits < 8 ? (bytes) => sharedBytes(bytes, bits, table) : (bytes) => lookUp(bytes, bits, table);
}

type Words<T> = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => T;

/** The typed array that reads the format directly; undefined when there is none. */
function viewOf(format: NumberFormat): Words<ArrayLike<number>> | undefined {
  const { kind, bits } = format;
  if (kind === 'bool') return Uint8Array;
  if (kind === 'float') return bits === 64 ? Float64Array : bits === 32 ? Float32Array : undefined;
  if (kind === 'exponent') return undefined;
  if (bits === 32) return format.signed ? Int32Array : Uint32Array;
  if (bits === 16) return format.signed ? Int16Array : Uint16Array;
  return bits === 8 ? (format.signed ? Int8Array : Uint8Array) : undefined;
}

/** Views bytes as words. Typed arrays need aligned bytes, so unaligned ones are copied. */
function wordsOf<T>(words: Words<T>, bytes: Uint8Array, size: number): T {
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new words(aligned.buffer, aligned.byteOffset, Math.floor(aligned.byteLength / size));
}

/** Looks up codes of one or two bytes. */
function lookUp(bytes: Uint8Array, bits: number, table: Float64Array): Float64Array {
  const codes = bits === 8 ? bytes : wordsOf(Uint16Array, bytes, 2);
  const values = new Float64Array(codes.length);
  for (let at = 0; at < codes.length; at++) values[at] = table[codes[at] as number] as number;
  return values;
}

function sharedBytes(bytes: Uint8Array, bits: number, table: Float64Array): Float64Array {
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  const values = new Float64Array(bytes.length * perByte);
  for (let at = 0; at < values.length; at++) {
    const byte = bytes[Math.floor(at / perByte)] as number;
    values[at] = table[(byte >> ((at % perByte) * bits)) & mask] as number;
  }
  return values;
}

/** The value of a code of at most 16 bits. */
function decoded(code: number, format: NumberFormat): number {
  if (format.kind === 'float') return decodedFloat(code, format);
  if (format.kind === 'exponent') return code === 255 ? Number.NaN : 2 ** (code - 127);
  // Integers that share a byte are unsigned.
  return code;
}

function decodedFloat(code: number, { bits, mantissaBits, bias, special }: FloatFormat): number {
  const signBit = 2 ** (bits - 1);
  if (special === 'negative-zero' && code === signBit) return Number.NaN;
  const sign = code >= signBit ? -1 : 1;
  const magnitude = code % signBit;
  const exponent = Math.floor(magnitude / 2 ** mantissaBits);
  const mantissa = magnitude % 2 ** mantissaBits;
  if (special === 'last' && magnitude === signBit - 1) return Number.NaN;
  if (special === 'ieee' && exponent === Math.floor((signBit - 1) / 2 ** mantissaBits)) {
    return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  }
  const unit = 2 ** (Math.max(exponent, 1) - bias - mantissaBits);
  return sign * (mantissa + (exponent === 0 ? 0 : 2 ** mantissaBits)) * unit;
}
