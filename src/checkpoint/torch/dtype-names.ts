import { DTYPES, type DType } from '../tensor.ts';

/** Storage classes of torch, and of torch.cuda before 2.0, by what stands before `Storage`. */
const STORAGE_CLASSES: Readonly<Record<string, DType>> = {
  Float: 'float32',
  Double: 'float64',
  Half: 'float16',
  BFloat16: 'bfloat16',
  Byte: 'uint8',
  Char: 'int8',
  Short: 'int16',
  Int: 'int32',
  Long: 'int64',
  Bool: 'bool',
  ComplexHalf: 'complex32',
  ComplexFloat: 'complex64',
  ComplexDouble: 'complex128',
  QUInt8: 'quint8',
  QInt8: 'qint8',
  QInt32: 'qint32',
  QUInt4x2: 'quint4x2',
  QUInt2x4: 'quint2x4',
  UInt16: 'uint16',
  UInt32: 'uint32',
  UInt64: 'uint64',
  Float8_e4m3fn: 'float8_e4m3fn',
  Float8_e5m2: 'float8_e5m2',
  Float8_e4m3fnuz: 'float8_e4m3fnuz',
  Float8_e5m2fnuz: 'float8_e5m2fnuz',
  Float8_e8m0fnu: 'float8_e8m0fnu',
};

/** torch's second names for its dtypes. */
const DTYPE_ALIASES: Readonly<Record<string, DType>> = {
  float: 'float32',
  double: 'float64',
  half: 'float16',
  short: 'int16',
  int: 'int32',
  long: 'int64',
  chalf: 'complex32',
  cfloat: 'complex64',
  cdouble: 'complex128',
};

/** The dtype of a storage class, `untyped` for a storage of bytes, undefined when the global is no storage class. */
export function storageClass(module: string, name: string): DType | 'untyped' | undefined {
  if (!/^torch(\.|$)/.test(module)) return undefined;
  if (/^_?UntypedStorage$/.test(name)) return 'untyped';
  const kind = name.endsWith('Storage') ? name.slice(0, -'Storage'.length) : '';
  return Object.hasOwn(STORAGE_CLASSES, kind) ? STORAGE_CLASSES[kind] : undefined;
}

/** `torch.float32` → `float32`; undefined when the global is no dtype. */
export function dtypeNamed(module: string, name: string): DType | undefined {
  if (module !== 'torch') return undefined;
  if (Object.hasOwn(DTYPES, name)) return name as DType;
  return Object.hasOwn(DTYPE_ALIASES, name) ? DTYPE_ALIASES[name] : undefined;
}
