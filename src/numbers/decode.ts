import { DTYPES, type DType } from '../checkpoint/tensor.ts';

/** Elements as doubles, real and imaginary parts of complex ones one after the other. */
export type Decode = (bytes: Uint8Array) => ArrayLike<number>;

interface SmallFloat {
  readonly bits: 8 | 16;
  readonly mantissaBits: number;
  readonly bias: number;
  /** `ieee`: the highest exponent is infinity and NaN. `last`: the last code is NaN. `zero`: the code of negative zero is NaN. */
  readonly special: 'ieee' | 'last' | 'zero';
}

const SMALL_FLOATS: Readonly<Partial<Record<DType, SmallFloat>>> = {
  float16: { bits: 16, mantissaBits: 10, bias: 15, special: 'ieee' },
  bfloat16: { bits: 16, mantissaBits: 7, bias: 127, special: 'ieee' },
  complex32: { bits: 16, mantissaBits: 10, bias: 15, special: 'ieee' },
  float8_e5m2: { bits: 8, mantissaBits: 2, bias: 15, special: 'ieee' },
  float8_e4m3fn: { bits: 8, mantissaBits: 3, bias: 7, special: 'last' },
  float8_e4m3fnuz: { bits: 8, mantissaBits: 3, bias: 8, special: 'zero' },
  float8_e5m2fnuz: { bits: 8, mantissaBits: 2, bias: 16, special: 'zero' },
};

type View = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => ArrayLike<number>;

const VIEWS: Readonly<Partial<Record<DType, View>>> = {
  float64: Float64Array,
  complex128: Float64Array,
  float32: Float32Array,
  complex64: Float32Array,
  int32: Int32Array,
  qint32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  qint8: Int8Array,
  uint8: Uint8Array,
  quint8: Uint8Array,
  bool: Uint8Array,
};

/** How to read a dtype's elements on this little-endian machine; undefined for those that are no numbers. */
export function decoderOf(dtype: DType): Decode | undefined {
  const view = VIEWS[dtype];
  if (view !== undefined) return (bytes) => viewOf(view, bytes, partSize(dtype));
  if (dtype === 'int64') return (bytes) => Array.from(viewOf(BigInt64Array, bytes, 8) as never, Number);
  if (dtype === 'uint64') return (bytes) => Array.from(viewOf(BigUint64Array, bytes, 8) as never, Number);
  const table = tableOf(dtype);
  if (table === undefined) return undefined;
  const codes: View = table.length === 256 ? Uint8Array : Uint16Array;
  const size = table.length === 256 ? 1 : 2;
  return (bytes) => {
    const read = viewOf(codes, bytes, size);
    const values = new Float64Array(read.length);
    for (let at = 0; at < read.length; at++) values[at] = table[read[at] as number] as number;
    return values;
  };
}

function partSize(dtype: DType): number {
  return dtype.startsWith('complex') ? DTYPES[dtype] / 2 : DTYPES[dtype];
}

/** Typed arrays want aligned bytes. */
function viewOf<T>(
  view: new (buffer: ArrayBufferLike, byteOffset: number, length: number) => T,
  bytes: Uint8Array,
  size: number,
): T {
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new view(aligned.buffer, aligned.byteOffset, Math.floor(aligned.byteLength / size));
}

function tableOf(dtype: DType): Float64Array | undefined {
  if (dtype === 'float8_e8m0fnu') {
    return Float64Array.from({ length: 256 }, (_, code) => (code === 255 ? Number.NaN : 2 ** (code - 127)));
  }
  const type = SMALL_FLOATS[dtype];
  if (type === undefined) return undefined;
  return Float64Array.from({ length: 2 ** type.bits }, (_, code) => decoded(code, type));
}

function decoded(code: number, { bits, mantissaBits, bias, special }: SmallFloat): number {
  const signBit = 2 ** (bits - 1);
  if (special === 'zero' && code === signBit) return Number.NaN;
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
