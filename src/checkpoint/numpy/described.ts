/** Arrays that stay objects, because torch has no dtype for their elements: texts, records, long doubles. */
import { PyGlobal, type PyObject, PyTuple, type Value } from '../pickle/values.ts';
import { type NumpyDtype, numpyDtype } from './dtype.ts';
import { type Element, elementReader } from './elements.ts';
import { dataBytes, viewOf } from './scalar.ts';

export interface DescribedArray {
  readonly className: string;
  readonly dtype: NumpyDtype;
  readonly shape: readonly number[];
  /** In columns instead of rows. */
  readonly fortran: boolean;
  readonly bytes: Uint8Array;
}

const RECONSTRUCT = /^numpy\.(_?core)\.multiarray\._reconstruct$/;
const FROM_BUFFER = /^numpy\.(_?core)\.numeric\._frombuffer$/;

/** The array that an object describes; undefined when it describes none, or one of Python objects. */
export function describedArray(object: PyObject): DescribedArray | undefined {
  const name = object.className ?? '';
  const args = object.args instanceof PyTuple ? object.args.items : [];
  if (FROM_BUFFER.test(name)) return described('numpy.ndarray', args[2], args[1], args[3] === 'F', args[0]);
  if (!RECONSTRUCT.test(name) || !(object.state instanceof PyTuple)) return undefined;
  const [, shape, dtype, fortran, bytes] = object.state.items;
  const className = args[0] instanceof PyGlobal ? args[0].path : 'numpy.ndarray';
  // What a subclass adds has no place in a description.
  if (object.state.items.length > 5) return undefined;
  return described(className, shape, dtype, fortran === true || fortran === 1, bytes);
}

function described(
  className: string,
  shapeValue: Value | undefined,
  dtypeValue: Value | undefined,
  fortran: boolean,
  data: Value | undefined,
): DescribedArray | undefined {
  const dtype = numpyDtype(dtypeValue);
  const bytes = dataBytes(data);
  if (dtype === undefined || bytes === undefined || !(shapeValue instanceof PyTuple)) return undefined;
  const shape = shapeValue.items;
  if (shape.length > 64 || !shape.every((extent) => typeof extent === 'number')) return undefined;
  return { className, dtype, shape: shape as readonly number[], fortran, bytes };
}

/** All elements in the order they lie in, when there are at most `most` of a plain type. */
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
