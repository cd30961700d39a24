/**
 * The dtypes, a row each: how every format names them, how large they are, and what their bits mean. Everything else that depends on a dtype
 * is derived from its row. native/elements.cc has the rows that are numbers once more; test/unit/numbers/native-dtypes compares the two.
 */

/** What the bits of one number mean. Bits are counted from the lowest of a little-endian element. */
export type NumberFormat = FloatFormat | IntegerFormat | ExponentFormat | BoolFormat;

/** Sign, exponent and mantissa, as IEEE 754 describes them. */
export interface FloatFormat {
  readonly kind: 'float';
  readonly bits: 4 | 8 | 16 | 32 | 64;
  readonly mantissaBits: number;
  readonly bias: number;
  /**
   * Which codes are not finite numbers. `ieee`: the highest exponent is infinity and NaN. `last`: the highest code is NaN. `negative-zero`: the code
   * that would be negative zero is NaN. `none`: every code is a finite number.
   */
  readonly special: 'ieee' | 'last' | 'negative-zero' | 'none';
  /** The code that torch writes for NaN; undefined where there is none, and for float64, which JavaScript writes itself. */
  readonly nan: number | undefined;
}

export interface IntegerFormat {
  readonly kind: 'integer';
  readonly bits: 2 | 4 | 8 | 16 | 32 | 64;
  readonly signed: boolean;
}

/** A power of two: the byte is its exponent, with a bias of 127; 255 is NaN. */
export interface ExponentFormat {
  readonly kind: 'exponent';
  readonly bits: 8;
}

/** 0 is false, any other byte is true. */
export interface BoolFormat {
  readonly kind: 'bool';
  readonly bits: 8;
}

export interface DTypeRow {
  readonly kind: 'float' | 'complex' | 'int' | 'uint' | 'bool' | 'quantized' | 'bits';
  /** torch's `dtype.itemsize`: bytes of an element, or 1 for elements that share a byte. */
  readonly itemsize: 1 | 2 | 4 | 8 | 16;
  /** Elements of a shape that share an item, where they do. Where the shape counts bytes, a byte is an element even if it holds two numbers. */
  readonly elementsPerItem?: 2 | 4;
  /** Of a number, or of each of the two parts of a complex one; undefined for bits that are not numbers. */
  readonly format: NumberFormat | undefined;
  /** The name in C++ (c10/core/ScalarType.h). With `Storage` behind it, it is a storage class; with `Tensor`, what `tensor.type()` says. */
  readonly scalarType: string;
  /** Python has the storage class, and torch.save stores by it. The others are stored as bytes with their dtype beside them. */
  readonly stored?: true;
  /** torch's other names for the dtype. */
  readonly aliases?: readonly string[];
  /** The name in a safetensors header. */
  readonly safetensors?: string;
  /** numpy's name without its byte order; for a quantized dtype that of its integers. Undefined where numpy has no such dtype. */
  readonly numpy?: string;
  /** ScalarType in torch.export's schema. */
  readonly exportType?: number;
  /** caffe2.TensorProto.DataType, which TorchScript archives of torch 1.0 and 1.1 have. */
  readonly caffe2?: readonly string[];
}

const FLOAT64 = float(64, 52, 1023, 'ieee', undefined);
const FLOAT32 = float(32, 23, 127, 'ieee', 0x7fc00000);
const FLOAT16 = float(16, 10, 15, 'ieee', 0x7e00);
const BFLOAT16 = float(16, 7, 127, 'ieee', 0x7fc0);
// OCP 8-bit floating point: E5M2 has three codes for NaN, and torch writes the last.
const E5M2 = float(8, 2, 15, 'ieee', 0x7f);
const E4M3FN = float(8, 3, 7, 'last', 0x7f);
const E5M2FNUZ = float(8, 2, 16, 'negative-zero', 0x80);
const E4M3FNUZ = float(8, 3, 8, 'negative-zero', 0x80);
const E2M1FN = float(4, 1, 1, 'none', undefined);
const E8M0FNU = { kind: 'exponent', bits: 8 } as const;
const BOOL = { kind: 'bool', bits: 8 } as const;

function float(
  bits: FloatFormat['bits'],
  mantissaBits: number,
  bias: number,
  special: FloatFormat['special'],
  nan: number | undefined,
): FloatFormat {
  return { kind: 'float', bits, mantissaBits, bias, special, nan };
}

function int(bits: IntegerFormat['bits']): IntegerFormat {
  return { kind: 'integer', bits, signed: true };
}

function uint(bits: IntegerFormat['bits']): IntegerFormat {
  return { kind: 'integer', bits, signed: false };
}

/** torch computes nothing with these: their bits have no meaning of their own. */
const SHELL = { itemsize: 1, format: undefined } as const;

// biome-ignore format: one row for each dtype
const ROWS = {
  float32: { kind: 'float', itemsize: 4, format: FLOAT32, scalarType: 'Float', stored: true, aliases: ['float'], safetensors: 'F32', numpy: 'f4', exportType: 7, caffe2: ['FLOAT'] },
  float64: { kind: 'float', itemsize: 8, format: FLOAT64, scalarType: 'Double', stored: true, aliases: ['double'], safetensors: 'F64', numpy: 'f8', exportType: 8, caffe2: ['DOUBLE'] },
  float16: { kind: 'float', itemsize: 2, format: FLOAT16, scalarType: 'Half', stored: true, aliases: ['half'], safetensors: 'F16', numpy: 'f2', exportType: 6, caffe2: ['FLOAT16'] },
  bfloat16: { kind: 'float', itemsize: 2, format: BFLOAT16, scalarType: 'BFloat16', stored: true, safetensors: 'BF16', exportType: 13 },
  float8_e4m3fn: { kind: 'float', itemsize: 1, format: E4M3FN, scalarType: 'Float8_e4m3fn', safetensors: 'F8_E4M3', exportType: 29 },
  float8_e5m2: { kind: 'float', itemsize: 1, format: E5M2, scalarType: 'Float8_e5m2', safetensors: 'F8_E5M2', exportType: 30 },
  float8_e4m3fnuz: { kind: 'float', itemsize: 1, format: E4M3FNUZ, scalarType: 'Float8_e4m3fnuz', safetensors: 'F8_E4M3FNUZ', exportType: 31 },
  float8_e5m2fnuz: { kind: 'float', itemsize: 1, format: E5M2FNUZ, scalarType: 'Float8_e5m2fnuz', safetensors: 'F8_E5M2FNUZ', exportType: 32 },
  float8_e8m0fnu: { kind: 'float', itemsize: 1, format: E8M0FNU, scalarType: 'Float8_e8m0fnu', safetensors: 'F8_E8M0', exportType: 33 },
  // Two numbers a byte, the first in the low bits. torch's shape counts bytes, a safetensors header numbers.
  float4_e2m1fn_x2: { kind: 'float', itemsize: 1, format: E2M1FN, scalarType: 'Float4_e2m1fn_x2', safetensors: 'F4' },

  uint8: { kind: 'uint', itemsize: 1, format: uint(8), scalarType: 'Byte', stored: true, safetensors: 'U8', numpy: 'u1', exportType: 1, caffe2: ['UINT8', 'BYTE'] },
  int8: { kind: 'int', itemsize: 1, format: int(8), scalarType: 'Char', stored: true, safetensors: 'I8', numpy: 'i1', exportType: 2, caffe2: ['INT8'] },
  int16: { kind: 'int', itemsize: 2, format: int(16), scalarType: 'Short', stored: true, aliases: ['short'], safetensors: 'I16', numpy: 'i2', exportType: 3, caffe2: ['INT16'] },
  int32: { kind: 'int', itemsize: 4, format: int(32), scalarType: 'Int', stored: true, aliases: ['int'], safetensors: 'I32', numpy: 'i4', exportType: 4, caffe2: ['INT32'] },
  int64: { kind: 'int', itemsize: 8, format: int(64), scalarType: 'Long', stored: true, aliases: ['long'], safetensors: 'I64', numpy: 'i8', exportType: 5, caffe2: ['INT64'] },
  uint16: { kind: 'uint', itemsize: 2, format: uint(16), scalarType: 'UInt16', safetensors: 'U16', numpy: 'u2', exportType: 28 },
  uint32: { kind: 'uint', itemsize: 4, format: uint(32), scalarType: 'UInt32', safetensors: 'U32', numpy: 'u4', exportType: 34 },
  uint64: { kind: 'uint', itemsize: 8, format: uint(64), scalarType: 'UInt64', safetensors: 'U64', numpy: 'u8', exportType: 35 },
  bool: { kind: 'bool', itemsize: 1, format: BOOL, scalarType: 'Bool', stored: true, safetensors: 'BOOL', numpy: 'b1', exportType: 12, caffe2: ['BOOL'] },

  complex32: { kind: 'complex', itemsize: 4, format: FLOAT16, scalarType: 'ComplexHalf', aliases: ['chalf'], exportType: 9 },
  complex64: { kind: 'complex', itemsize: 8, format: FLOAT32, scalarType: 'ComplexFloat', stored: true, aliases: ['cfloat'], safetensors: 'C64', numpy: 'c8', exportType: 10 },
  complex128: { kind: 'complex', itemsize: 16, format: FLOAT64, scalarType: 'ComplexDouble', stored: true, aliases: ['cdouble'], numpy: 'c16', exportType: 11 },

  quint8: { kind: 'quantized', itemsize: 1, format: uint(8), scalarType: 'QUInt8', stored: true, numpy: 'u1' },
  qint8: { kind: 'quantized', itemsize: 1, format: int(8), scalarType: 'QInt8', stored: true, numpy: 'i1' },
  qint32: { kind: 'quantized', itemsize: 4, format: int(32), scalarType: 'QInt32', stored: true, numpy: 'i4' },
  // Several elements a byte, the first in the lowest bits.
  quint4x2: { kind: 'quantized', itemsize: 1, elementsPerItem: 2, format: uint(4), scalarType: 'QUInt4x2', stored: true },
  quint2x4: { kind: 'quantized', itemsize: 1, elementsPerItem: 4, format: uint(2), scalarType: 'QUInt2x4', stored: true },

  bits8: { kind: 'bits', ...SHELL, scalarType: 'Bits8' },
  bits16: { kind: 'bits', ...SHELL, itemsize: 2, scalarType: 'Bits16' },
  bits1x8: { kind: 'bits', ...SHELL, scalarType: 'Bits1x8' },
  bits2x4: { kind: 'bits', ...SHELL, scalarType: 'Bits2x4' },
  bits4x2: { kind: 'bits', ...SHELL, scalarType: 'Bits4x2' },
  // A byte each in torch 2.13, which neither reads nor prints them.
  uint1: { kind: 'bits', ...SHELL, scalarType: 'UInt1', aliases: ['bit'] },
  uint2: { kind: 'bits', ...SHELL, scalarType: 'UInt2' },
  uint3: { kind: 'bits', ...SHELL, scalarType: 'UInt3' },
  uint4: { kind: 'bits', ...SHELL, scalarType: 'UInt4' },
  uint5: { kind: 'bits', ...SHELL, scalarType: 'UInt5' },
  uint6: { kind: 'bits', ...SHELL, scalarType: 'UInt6' },
  uint7: { kind: 'bits', ...SHELL, scalarType: 'UInt7' },
  int1: { kind: 'bits', ...SHELL, scalarType: 'Int1' },
  int2: { kind: 'bits', ...SHELL, scalarType: 'Int2' },
  int3: { kind: 'bits', ...SHELL, scalarType: 'Int3' },
  int4: { kind: 'bits', ...SHELL, scalarType: 'Int4' },
  int5: { kind: 'bits', ...SHELL, scalarType: 'Int5' },
  int6: { kind: 'bits', ...SHELL, scalarType: 'Int6' },
  int7: { kind: 'bits', ...SHELL, scalarType: 'Int7' },
} as const satisfies Readonly<Record<string, DTypeRow>>;

/** torch's name without the `torch.` prefix. */
export type DType = keyof typeof ROWS;

export const DTYPE_ROWS: Readonly<Record<DType, DTypeRow>> = ROWS;

/** Every dtype, in the order of the table. */
export const DTYPE_NAMES = Object.keys(ROWS) as readonly DType[];

/** `itemsize` of each dtype. */
export const DTYPES = Object.fromEntries(
  DTYPE_NAMES.map((dtype) => [dtype, DTYPE_ROWS[dtype].itemsize]),
) as Readonly<Record<DType, DTypeRow['itemsize']>>;

/** How many elements of a shape share an item: 1 for most dtypes. */
export function elementsPerItem(dtype: DType): 1 | 2 | 4 {
  return DTYPE_ROWS[dtype].elementsPerItem ?? 1;
}

/** The dtypes by the names that a column has for them. Names come from files: a Map has no names of its own. */
export function dtypesBy<Name>(
  names: (row: DTypeRow, dtype: DType) => Iterable<Name>,
): ReadonlyMap<Name, DType> {
  const found = new Map<Name, DType>();
  for (const dtype of DTYPE_NAMES) for (const name of names(DTYPE_ROWS[dtype], dtype)) found.set(name, dtype);
  return found;
}

/** Numbers that one element is made of: the parts of a complex one. */
export function partsOf(dtype: DType): 1 | 2 {
  return DTYPE_ROWS[dtype].kind === 'complex' ? 2 : 1;
}

/** Bytes that a byte order turns around together. */
export function partBytes(dtype: DType): 1 | 2 | 4 | 8 {
  return (DTYPE_ROWS[dtype].itemsize / partsOf(dtype)) as 1 | 2 | 4 | 8;
}

/** Numbers that share an item, a complex number being one; 1 for bits that are not numbers. */
export function numbersPerItem(dtype: DType): number {
  const { format } = DTYPE_ROWS[dtype];
  return format === undefined ? 1 : (partBytes(dtype) * 8) / format.bits;
}

/** Numbers that torch's shapes count as one element: 2 for float4_e2m1fn_x2, 1 for all others. */
export function numbersPerElement(dtype: DType): number {
  return numbersPerItem(dtype) / elementsPerItem(dtype);
}

/** Real or complex: what can be NaN, and what a parameter can be. */
export function isFloating(dtype: DType): boolean {
  const { kind } = DTYPE_ROWS[dtype];
  return kind === 'float' || kind === 'complex';
}

const NUMPY = dtypesBy(({ kind, numpy }) => (numpy === undefined || kind === 'quantized' ? [] : [numpy]));

/** `f4` → `float32`: numpy's name of a dtype without its byte order. */
export function dtypeOfNumpy(name: string): DType | undefined {
  return NUMPY.get(name);
}

/** numpy's name with the byte order of a little-endian array, `<f4`, `|u1`; undefined where numpy has no such dtype. */
export function numpyDescr(dtype: DType): string | undefined {
  const { numpy, itemsize } = DTYPE_ROWS[dtype];
  return numpy === undefined ? undefined : `${itemsize === 1 ? '|' : '<'}${numpy}`;
}

/** The unsigned integers that carry the bits of a dtype: what stands for it where numpy has no such dtype. */
export function numpyCarrier(dtype: DType): string {
  const { itemsize } = DTYPE_ROWS[dtype];
  return itemsize === 1 ? '|u1' : `<u${itemsize}`;
}
