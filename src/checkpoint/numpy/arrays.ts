/**
 * NumPy arrays: `_reconstruct(class, (0,), b'b')` with the state (version, shape, dtype, is_fortran, bytes), `_frombuffer(bytes, dtype,
 * shape, order)` of protocol 5, and masked arrays. An array whose dtype torch knows becomes a tensor over the bytes in the pickle, which
 * are an extent of the file where they are stored unchanged there. Other arrays stay objects: those of Python objects or records, and
 * inconsistent ones, such as a shape that does not match the number of bytes. A shape alone never causes an allocation.
 */
import type { Account } from '../pickle/account.ts';
import { items } from '../pickle/builtin-reconstructors.ts';
import { HEAP_COST } from '../pickle/limits.ts';
import type { Reconstructor } from '../pickle/machine.ts';
import type { PickleOrigin } from '../pickle/origin.ts';
import { PyBytes, PyDict, PyGlobal, PyObject, PyTuple, type Value } from '../pickle/values.ts';
import { contiguousStride } from '../strided-layout.ts';
import { DTYPES, type Storage, type StorageBytes } from '../tensor.ts';
import type { StorageTable } from '../torch/storage-table.ts';
import { TorchTensor } from '../torch/torch-tensor.ts';
import { type NumpyDtype, numpyDtype } from './dtype.ts';
import { readLatin1Text } from './latin1-text.ts';
import { dataBytes } from './scalar.ts';

const RECONSTRUCT = /^numpy\.(_?core)\.multiarray\._reconstruct$/;
const MASKED = /^numpy\.ma\.(core\.)?_mareconstruct$/;
const NDARRAY = 'numpy.ndarray';
/** NumPy's own maximum is 64. */
const MAX_DIMENSIONS = 64;

/** The arrays of one pickle. */
export class NumpyArrays {
  readonly table: readonly [path: string, reconstructor: Reconstructor][] = [
    'numpy.core.numeric._frombuffer',
    'numpy._core.numeric._frombuffer',
  ].map((path) => [path, (args, account) => this.#fromBuffer(args, account)]);
  readonly #storages: StorageTable;
  readonly #origin: PickleOrigin | undefined;
  /** Arrays may share the same bytes. */
  readonly #stored = new Map<PyBytes, Storage>();

  /** `origin`: the offset of the pickle in the file, if the file holds it unchanged. */
  constructor(storages: StorageTable, origin?: PickleOrigin) {
    this.#storages = storages;
    this.#origin = origin;
  }

  /** BUILD on the result of `_reconstruct` or `_mareconstruct`: the array, or undefined when it is not an array. */
  finish(object: PyObject, state: Value, account: Account): Value | undefined {
    const name = object.className ?? '';
    const [type] = items(object.args) ?? [];
    const className = type instanceof PyGlobal ? type.path : undefined;
    const parts = items(state);
    if (className === undefined || parts === undefined) return undefined;
    if (MASKED.test(name)) return this.#masked(type as PyGlobal, parts, account);
    if (!RECONSTRUCT.test(name)) return undefined;
    const [, shape, dtype, fortran, bytes, ...more] = parts;
    const array = this.#array({ className, shape, dtype, bytes, order: orderOf(fortran) }, account);
    return array === undefined || more.length === 0
      ? array
      : namedParts(type as PyGlobal, [['data', array], ...more.map(attribute)], account);
  }

  /** (buffer, dtype, shape, order[, axes]) */
  #fromBuffer(args: Value, account: Account): Value | undefined {
    const [bytes, dtype, shape, order, axes] = items(args) ?? [];
    if (order !== 'C' && order !== 'F' && order !== 'K') return undefined;
    return this.#array({ className: NDARRAY, shape, dtype, bytes, order, axes }, account);
  }

  /** (version, shape, dtype, is_fortran, bytes, bytes of the mask, fill value) */
  #masked(type: PyGlobal, state: readonly Value[], account: Account): Value | undefined {
    const [, shape, dtype, fortran, bytes, mask, fill] = state;
    const order = orderOf(fortran);
    const data = this.#array({ className: NDARRAY, shape, dtype, bytes, order }, account);
    const masked = this.#array({ className: NDARRAY, shape, dtype: MASK, bytes: mask, order }, account);
    if (data === undefined || masked === undefined) return undefined;
    return namedParts(
      type,
      [
        ['data', data],
        ['mask', masked],
        ['fill_value', fill ?? null],
      ],
      account,
    );
  }

  #array(description: ArrayDescription, account: Account): TorchTensor | undefined {
    const dtype = description.dtype === MASK ? MASK_DTYPE : numpyDtype(description.dtype as Value);
    const geometry = geometryOf(description);
    if (dtype?.tensor === undefined || geometry === undefined) return undefined;
    const storage = this.#storage(description.bytes, dtype, geometry.count, account);
    if (storage === undefined) return undefined;
    account.heap(HEAP_COST.tensor);
    const { className } = description;
    const note = dtype.code === 'M8' || dtype.code === 'm8' ? `${className} of ${dtype.name}` : className;
    const view = { shape: geometry.shape, stride: geometry.stride, storageOffset: 0 };
    return new TorchTensor({ ...view, dtype: dtype.tensor, storage }, false, false, { note });
  }

  /** The bytes of `count` elements; undefined when there are fewer. */
  #storage(data: Value | undefined, dtype: NumpyDtype, count: number, account: Account): Storage | undefined {
    if (dtype.tensor === undefined) return undefined;
    const nbytes = count * DTYPES[dtype.tensor];
    const shared = data instanceof PyBytes ? this.#stored.get(data) : undefined;
    if (shared?.nbytes === nbytes && shared.dtype === dtype.tensor && shared.byteorder === dtype.byteorder) {
      return shared;
    }
    if (typeof data === 'string') {
      // A forged file may make many arrays of one long text.
      account.steps(data.length >>> 4);
      account.heap(data.length);
    }
    const bytes = dataBytes(data);
    if (bytes === undefined || bytes.length !== nbytes) return undefined;
    account.heap(HEAP_COST.storage);
    const text = data instanceof PyBytes ? data.text : undefined;
    const place = text === undefined ? this.#extentOf(bytes) : this.#decodedFrom(text, nbytes);
    const storage = this.#storages.inside(dtype.tensor, nbytes, place ?? kept(bytes), dtype.byteorder);
    if (data instanceof PyBytes) this.#stored.set(data, storage);
    return storage;
  }

  #extentOf(bytes: Uint8Array): StorageBytes | undefined {
    const offset = this.#offsetOf(bytes);
    if (offset === undefined || this.#origin === undefined) return undefined;
    return { kind: 'extent', image: this.#origin.image, offset, length: bytes.length, readOnly: true };
  }

  #decodedFrom(
    { encoded, index }: { readonly encoded: Uint8Array; readonly index: readonly number[] },
    length: number,
  ): StorageBytes | undefined {
    const offset = this.#offsetOf(encoded);
    if (offset === undefined || this.#origin === undefined) return undefined;
    const { image } = this.#origin;
    const range = { index, encodedLength: encoded.length, length };
    return {
      kind: 'decoded',
      length,
      from: { image, offset, length: encoded.length },
      read: (at, count) =>
        readLatin1Text(range, at, count, (start, size) => image.read(offset + start, size)),
    };
  }

  /** Where the bytes of the pickle lie in the file. */
  #offsetOf(bytes: Uint8Array): number | undefined {
    if (this.#origin === undefined) return undefined;
    const { bytes: pickle, offset } = this.#origin;
    const at = bytes.byteOffset - pickle.byteOffset;
    const isView = bytes.buffer === pickle.buffer && at >= 0 && at + bytes.length <= pickle.length;
    return isView ? offset + at : undefined;
  }
}

/** Bytes that no file holds unchanged stay in memory, like the pickle that they are part of. */
function kept(bytes: Uint8Array): StorageBytes {
  return {
    kind: 'decoded',
    length: bytes.length,
    // Copied, because elements must be aligned to their size.
    read: async (offset, length) => Uint8Array.prototype.slice.call(bytes, offset, offset + length),
  };
}

/** The mask of a masked array has no dtype of its own in the pickle. */
const MASK = Symbol('mask');
const MASK_DTYPE: NumpyDtype = { code: 'b1', itemsize: 1, byteorder: 'little', name: 'bool', tensor: 'bool' };

interface ArrayDescription {
  readonly className: string;
  readonly shape: Value | undefined;
  readonly dtype: Value | typeof MASK | undefined;
  readonly bytes: Value | undefined;
  readonly order: 'C' | 'F' | 'K';
  /** For order K: for each dimension of the array, the index of its dimension in `shape`. */
  readonly axes?: Value | undefined;
}

/** Python 2 stores 0 or 1. */
function orderOf(fortran: Value | undefined): 'C' | 'F' {
  return fortran === true || fortran === 1 ? 'F' : 'C';
}

interface ArrayGeometry {
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly count: number;
}

function geometryOf({ shape: value, order, axes }: ArrayDescription): ArrayGeometry | undefined {
  const shape = extentsOf(value);
  if (shape === undefined) return undefined;
  const count = shape.reduce((product, extent) => product * extent, 1);
  // Products that are too large are inexact, but still larger than any pickle.
  if (!Number.isSafeInteger(count * 16)) return undefined;
  if (order === 'F') {
    return { shape, stride: contiguousStride(shape.toReversed()).toReversed(), count };
  }
  const stride = contiguousStride(shape);
  if (order === 'C' || axes === undefined || axes === null) return { shape, stride, count };
  const permutation = extentsOf(axes);
  if (permutation?.length !== shape.length || new Set(permutation).size !== shape.length) return undefined;
  if (permutation.some((axis) => axis >= shape.length)) return undefined;
  return {
    shape: permutation.map((axis) => shape[axis] as number),
    stride: permutation.map((axis) => stride[axis] as number),
    count,
  };
}

function extentsOf(value: Value | undefined): number[] | undefined {
  const extents = items(value);
  if (extents === undefined || extents.length > MAX_DIMENSIONS) return undefined;
  const valid = extents.every(
    (extent) => typeof extent === 'number' && Number.isSafeInteger(extent) && extent >= 0,
  );
  return valid ? (extents as number[]).slice() : undefined;
}

/** What a subclass adds to the state of its array. */
function attribute(value: Value, index: number): [string, Value] {
  return [`state_${index}`, value];
}

/** An array with more than its elements, as an object with named parts. */
function namedParts(
  type: PyGlobal,
  parts: readonly (readonly [string, Value])[],
  account: Account,
): PyObject {
  account.heap(HEAP_COST.object + HEAP_COST.dict + parts.length * HEAP_COST.item);
  const object = new PyObject(type, PyTuple.EMPTY);
  object.dictItems = new PyDict();
  for (const [name, value] of parts) object.dictItems.set(name, value);
  return object;
}
