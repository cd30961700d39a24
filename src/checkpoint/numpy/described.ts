/** Arrays that stay objects, because torch has no dtype for their elements: texts, records, long doubles. */
import { PyBytes, PyGlobal, type PyObject, PyTuple, type Value } from '../pickle/values.ts';
import { type NumpyDtype, numpyDtype } from './dtype.ts';
import { type Element, elementReader } from './elements.ts';
import { dataBytes, viewOf } from './scalar.ts';

export interface DescribedArray {
  readonly className: string;
  readonly dtype: NumpyDtype;
  readonly shape: readonly number[];
  /** Elements are stored by columns instead of rows. */
  readonly fortran: boolean;
  readonly bytes: Uint8Array;
}

const RECONSTRUCT = /^numpy\.(_?core)\.multiarray\._reconstruct$/;
const FROM_BUFFER = /^numpy\.(_?core)\.numeric\._frombuffer$/;

/** The parts that describe an array, by their index in the call or the state. */
interface Parts {
  readonly className: string;
  readonly shape: Value | undefined;
  readonly dtype: Value | undefined;
  readonly fortran: boolean;
  readonly data: PyBytes | string;
}

/** The bytes of a described array, as the pickle has them; nothing is read or copied. */
export function describedData(object: PyObject): PyBytes | string | undefined {
  return partsOf(object)?.data;
}

/** The array that an object describes; undefined when it describes none, or an array of Python objects. */
export function describedArray(object: PyObject): DescribedArray | undefined {
  const parts = partsOf(object);
  return parts === undefined ? undefined : described(parts);
}

function partsOf(object: PyObject): Parts | undefined {
  const name = object.className ?? '';
  const args = object.args instanceof PyTuple ? object.args.items : [];
  if (FROM_BUFFER.test(name)) {
    const [data, dtype, shape, order] = args;
    return isData(data)
      ? { className: 'numpy.ndarray', shape, dtype, fortran: order === 'F', data }
      : undefined;
  }
  if (!RECONSTRUCT.test(name) || !(object.state instanceof PyTuple)) return undefined;
  const [, shape, dtype, fortran, data] = object.state.items;
  const className = args[0] instanceof PyGlobal ? args[0].path : 'numpy.ndarray';
  // A description has no place for what a subclass adds.
  if (object.state.items.length > 5 || !isData(data)) return undefined;
  return { className, shape, dtype, fortran: fortran === true || fortran === 1, data };
}

function isData(value: Value | undefined): value is PyBytes | string {
  return value instanceof PyBytes || typeof value === 'string';
}

function described({
  className,
  shape: extents,
  dtype: type,
  fortran,
  data,
}: Parts): DescribedArray | undefined {
  const dtype = numpyDtype(type);
  const bytes = dataBytes(data);
  if (dtype === undefined || bytes === undefined || !(extents instanceof PyTuple)) return undefined;
  const shape = extents.items;
  if (shape.length > 64 || !shape.every((extent) => typeof extent === 'number')) return undefined;
  return { className, dtype, shape: shape as readonly number[], fortran, bytes };
}

/** All elements in storage order, if there are at most `most` and their type is plain. */
export function describedElements(
  { dtype, shape, bytes }: DescribedArray,
  most: number,
): Element[] | undefined {
  const count = shape.reduce((product, extent) => product * extent, 1);
  const read = elementReader(dtype);
  if (read === undefined || !(count >= 0 && count <= most) || bytes.length !== count * dtype.itemsize)
    return undefined;
  const elements: Element[] = [];
  for (let index = 0; index < count; index++) {
    const element = read(viewOf(bytes), index * dtype.itemsize);
    if (element === undefined) return undefined;
    elements.push(element);
  }
  return elements;
}
