import { PyList, PyTuple, type Value } from '../pickle/values.ts';
import { bytesOfElements, DTYPES, type DType } from '../tensor.ts';

/** What torch's iterators can address. */
const MAX_DIMENSIONS = 64;

export interface Geometry {
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
}

/** Why a tensor is invalid, in words that follow the tensor's name. */
export class GeometryFault extends Error {}

/**
 * Checks that every element of a tensor lies in its storage. Sums and products are of non-negative safe integers, so they
 * are exact up to 2^53 and never round down below it: a tensor that does not fit cannot appear to fit.
 */
export function checkGeometry(
  offset: Value | undefined,
  size: Value | undefined,
  stride: Value | undefined,
  dtype: DType,
  storageBytes: number,
): Geometry {
  const shape = dimensions(size, 'shape');
  const strides = dimensions(stride, 'stride');
  if (shape.length !== strides.length) {
    throw new GeometryFault(
      `shape [${shape}] has ${shape.length} dimensions and stride [${strides}] ${strides.length}`,
    );
  }
  if (typeof offset !== 'number' || !Number.isSafeInteger(offset) || offset < 0) {
    throw new GeometryFault(`storage offset ${String(offset)} is not a place in a storage`);
  }
  const fault = geometryFault(offset, shape, strides, dtype, storageBytes);
  if (fault !== undefined) throw new GeometryFault(fault);
  return { shape, stride: strides, storageOffset: offset };
}

/** Why a tensor does not lie in its storage. All numbers are non-negative safe integers, and as many strides as sizes. */
export function geometryFault(
  offset: number,
  shape: readonly number[],
  strides: readonly number[],
  dtype: DType,
  storageBytes: number,
): string | undefined {
  let count = 1;
  let last = offset;
  for (let dim = 0; dim < shape.length; dim++) {
    const extent = shape[dim] as number;
    if (extent === 0) return undefined;
    count *= extent;
    last += (extent - 1) * (strides[dim] as number);
  }
  if (!Number.isSafeInteger(count * DTYPES[dtype])) {
    return `shape [${shape}] has more bytes than can be counted`;
  }
  const bytes = bytesOfElements(dtype, last + 1);
  if (bytes <= storageBytes) return undefined;
  return `shape [${shape}], stride [${strides}], offset ${offset} of ${dtype} reach byte ${bytes} of a storage of ${storageBytes} bytes`;
}

/** A tuple, list or torch.Size of sizes or strides. */
function dimensions(value: Value | undefined, what: string): readonly number[] {
  if (!(value instanceof PyTuple || value instanceof PyList))
    throw new GeometryFault(`its ${what} is not a tuple`);
  if (value.items.length > MAX_DIMENSIONS) {
    throw new GeometryFault(
      `its ${what} has ${value.items.length} dimensions; the limit is ${MAX_DIMENSIONS}`,
    );
  }
  for (const item of value.items) {
    if (typeof item !== 'number' || !Number.isSafeInteger(item) || item < 0) {
      throw new GeometryFault(
        `its ${what} has ${typeof item === 'object' ? 'something else' : String(item)} in it`,
      );
    }
  }
  // A tuple cannot change later, but a list can.
  return (value instanceof PyTuple ? value.items : [...value.items]) as readonly number[];
}
