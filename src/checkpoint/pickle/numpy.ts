/**
 * NumPy arrays and scalars as pickles describe them: `_reconstruct(ndarray, (0,), b'b')` with the state (version, shape, dtype,
 * is_fortran, bytes), `_frombuffer(bytes, dtype, shape, order)` of protocol 5, and `scalar(dtype, bytes)`.
 */
import { PyBytes, PyObject, PyTuple, type Value } from './values.ts';

export interface NumpyArray {
  /** NumPy's short name without the byte order, `f8`; `O` and structured types have no elements here. */
  readonly dtype: string;
  readonly byteorder: 'little' | 'big';
  /** Undefined for a scalar. */
  readonly shape: readonly number[] | undefined;
  readonly fortran: boolean;
  readonly bytes: Uint8Array;
}

const ARRAY = /^numpy\.(_?core)\.multiarray\._reconstruct$/;
const SCALAR = /^numpy\.(_?core)\.multiarray\.scalar$/;
const FROM_BUFFER = /^numpy\.(_?core)\.numeric\._frombuffer$/;

/** The array or scalar that an object describes; undefined when it describes none, or one of Python objects. */
export function numpyArray(object: PyObject): NumpyArray | undefined {
  const name = object.className ?? '';
  const args = object.args instanceof PyTuple ? object.args.items : [];
  if (SCALAR.test(name)) return describe(args[0], undefined, false, args[1]);
  if (FROM_BUFFER.test(name)) return describe(args[1], args[2], args[3] === 'F', args[0]);
  if (!ARRAY.test(name) || !(object.state instanceof PyTuple)) return undefined;
  const [, shape, dtype, fortran, bytes] = object.state.items;
  return describe(dtype, shape, fortran === true, bytes);
}

function describe(
  dtypeValue: Value | undefined,
  shapeValue: Value | undefined,
  fortran: boolean,
  bytes: Value | undefined,
): NumpyArray | undefined {
  if (!(dtypeValue instanceof PyObject && dtypeValue.className === 'numpy.dtype')) return undefined;
  if (!(bytes instanceof PyBytes)) return undefined;
  const args = dtypeValue.args instanceof PyTuple ? dtypeValue.args.items : [];
  const state = dtypeValue.state instanceof PyTuple ? dtypeValue.state.items : [];
  if (typeof args[0] !== 'string' || !/^[a-zA-Z]\d+$/.test(args[0])) return undefined;
  const shape = shapeValue instanceof PyTuple ? shapeValue.items : undefined;
  if (shapeValue !== undefined && shape === undefined) return undefined;
  if (shape?.some((extent) => typeof extent !== 'number' || extent < 0)) return undefined;
  return {
    dtype: args[0],
    byteorder: state[1] === '>' ? 'big' : 'little',
    shape: shape as readonly number[] | undefined,
    fortran,
    bytes: bytes.bytes,
  };
}

const KINDS: Readonly<Record<string, string>> = { f: 'float', i: 'int', u: 'uint', c: 'complex', b: 'bool' };

/** `f8` → `float64`, `b1` → `bool`, others as NumPy writes them. */
export function numpyTypeName(dtype: string): string {
  if (dtype === 'b1') return 'bool';
  const kind = KINDS[dtype[0] ?? ''];
  return kind === undefined ? dtype : `${kind}${Number(dtype.slice(1)) * 8}`;
}

/** The first elements, in the order they lie in; undefined for types that are no plain numbers. */
export function numpyElements(array: NumpyArray, count: number): (number | bigint | boolean)[] | undefined {
  const itemsize = Number(array.dtype.slice(1));
  const view = new DataView(array.bytes.buffer, array.bytes.byteOffset, array.bytes.byteLength);
  const read = READERS[array.dtype];
  if (read === undefined) return undefined;
  const length = Math.min(count, Math.floor(view.byteLength / itemsize));
  const elements = new Array<number | bigint | boolean>(length);
  for (let index = 0; index < length; index++) {
    elements[index] = read(view, index * itemsize, array.byteorder === 'little');
  }
  return elements;
}

const READERS: Readonly<
  Record<string, (view: DataView, at: number, littleEndian: boolean) => number | bigint | boolean>
> = {
  b1: (view, at) => view.getUint8(at) !== 0,
  i1: (view, at) => view.getInt8(at),
  u1: (view, at) => view.getUint8(at),
  i2: (view, at, littleEndian) => view.getInt16(at, littleEndian),
  u2: (view, at, littleEndian) => view.getUint16(at, littleEndian),
  i4: (view, at, littleEndian) => view.getInt32(at, littleEndian),
  u4: (view, at, littleEndian) => view.getUint32(at, littleEndian),
  i8: (view, at, littleEndian) => view.getBigInt64(at, littleEndian),
  u8: (view, at, littleEndian) => view.getBigUint64(at, littleEndian),
  f4: (view, at, littleEndian) => view.getFloat32(at, littleEndian),
  f8: (view, at, littleEndian) => view.getFloat64(at, littleEndian),
};
