/** NumPy scalars: `scalar(dtype, bytes)`, as plain values. */
import { PyBytes, PyObject, PyTuple, type Value } from '../pickle/values.ts';
import { type NumpyDtype, numpyDtype } from './dtype.ts';
import { type Element, elementReader } from './elements.ts';

export interface NumpyScalar {
  readonly dtype: NumpyDtype;
  readonly bytes: Uint8Array;
  /** Undefined when there is no plain value: structured and unknown types. */
  readonly value: Element | undefined;
}

const SCALAR = /^numpy\.(_?core)\.multiarray\.scalar$/;

/** The scalar that a value describes; undefined when it describes none, or a Python object. */
export function numpyScalar(value: Value | undefined): NumpyScalar | undefined {
  if (!(value instanceof PyObject && SCALAR.test(value.className ?? ''))) return undefined;
  const [dtypeValue, data] = value.args instanceof PyTuple ? value.args.items : [];
  const dtype = numpyDtype(dtypeValue);
  const bytes = dataBytes(data);
  if (dtype === undefined || bytes === undefined || dtype.code.startsWith('O')) return undefined;
  if (bytes.length !== dtype.itemsize) return undefined;
  return { dtype, bytes, value: elementReader(dtype)?.(viewOf(bytes), 0) };
}

/** The bytes of a scalar, as the pickle has them; undefined when it is not a scalar. Nothing is read or copied. */
export function scalarData(value: Value): PyBytes | string | undefined {
  if (!(value instanceof PyObject && SCALAR.test(value.className ?? ''))) return undefined;
  const data = value.args instanceof PyTuple ? value.args.items[1] : undefined;
  return data instanceof PyBytes || typeof data === 'string' ? data : undefined;
}

/** The bytes of an array or scalar. Python 2 stores them as a str, which is text here when it is UTF-8. */
export function dataBytes(value: Value | undefined): Uint8Array | undefined {
  if (value instanceof PyBytes) return value.bytes;
  if (typeof value !== 'string' || /\p{Cs}/u.test(value)) return undefined;
  return Buffer.from(value, 'utf8');
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
