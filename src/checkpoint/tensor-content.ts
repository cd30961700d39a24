/**
 * The content of a tensor's file: its exact C-order little-endian bytes.
 *
 *   stored, contiguous, little-endian        one extent of the image, nothing is copied
 *   stored, long contiguous runs             one extent per run
 *   deflated                                 a window of the inflated storage
 *   anything else (transposed, big-endian…)  gathered in tiles through the rendered pages
 *
 * A view that leaves its storage is refused here, before any read. Tensors whose bytes are in the image can be written, however they are read,
 * unless two elements of the view share bytes (an expanded tensor).
 */
import { MlfsError } from '../errors.ts';
import type { ContentWriter, ExtentContent, FixedContent, RenderedContent } from '../storage/content.ts';
import type { Extent } from '../storage/extent.ts';
import { extentsWriter } from '../storage/extents-writer.ts';
import { InflatedContent } from '../storage/inflated-content.ts';
import type { RenderedPages } from '../storage/rendered-pages.ts';
import { quoteName } from '../visible-text.ts';
import { elementsPerItem } from './dtypes.ts';
import { elementChange } from './element-bits.ts';
import type { StorageReader } from './gather.ts';
import { GatheredContent, type StorageRange } from './gathered-content.ts';
import { collapse, count, type Dim, isInjective, locate, runs, span } from './strided-layout.ts';
import {
  byteOfElement,
  DTYPES,
  isContiguous,
  nbytes,
  type Storage,
  type StorageBytes,
  type Tensor,
} from './tensor.ts';

/** Minimum length of a run that gets its own extent: a page of memory. */
const EXTENT_RUN_BYTES = 4096;
const MAX_EXTENTS = 4096;

/** Throws ERR_MLFS_TENSOR when the view leaves its storage or is too large to be a file. */
export function tensorContent(tensor: Tensor, cache: RenderedPages): FixedContent {
  const { storage, dtype } = tensor;
  const itemsize = DTYPES[dtype];
  if (tensor.shape.some((size) => size === 0)) return { kind: 'extents', size: 0, extents: [] };
  const dims = checkedDims(tensor);
  const size = nbytes(tensor);
  const { bytes } = storage;
  if (bytes.kind === 'absent') return absentContent(storage, size, bytes.reason);
  const packed = elementsPerItem(dtype);
  if (packed > 1) return packedContent(tensor, bytes, packed, cache);
  refuseOutside(tensor, dims, bytes.length);

  const change = elementChange(tensor);
  if (change !== undefined && 'reason' in change) {
    throw new MlfsError('ERR_MLFS_TENSOR', `storage ${quoteName(storage.key)}: ${change.reason}`);
  }
  const start = tensor.storageOffset * itemsize;
  if (change === undefined) {
    const contiguous = dims.length === 0 || (dims.length === 1 && dims[0]?.stride === 1);
    if (contiguous) return rangeContent(bytes, start, size, cache);
    if (bytes.kind === 'extent' && hasLongRuns(dims, itemsize)) {
      return new RunsContent(bytes, start, dims, itemsize);
    }
  }
  const view = {
    start: tensor.storageOffset,
    // A single element is a run of one.
    dims: dims.length === 0 ? [{ size: 1, stride: 1 }] : dims,
    itemsize,
    change,
  };
  return new GatheredContent(view, storageReader(bytes, cache), cache, writableRange(bytes, dims));
}

/**
 * Where a tensor's bytes begin in its image, if its file is this run of the image and nothing else: most tensors of real checkpoints.
 * Undefined for all others, and for empty ones. It says what `tensorContent` says, without making anything.
 */
export function storedAt(tensor: Tensor): number | undefined {
  const { storage, dtype, storageOffset } = tensor;
  const { bytes } = storage;
  if (bytes.kind !== 'extent' || !Number.isSafeInteger(storageOffset) || storageOffset < 0) return undefined;
  if (!isLaidOut(tensor) || !isContiguous(tensor)) return undefined;
  const isStored = storage.byteorder === 'little' && tensor.conj !== true && tensor.neg !== true;
  if (!isStored && elementChange(tensor) !== undefined) return undefined;
  if (storageOffset % elementsPerItem(dtype) !== 0) return undefined;
  const start = byteOfElement(dtype, storageOffset);
  const size = nbytes(tensor);
  return size > 0 && start + size <= bytes.length ? bytes.offset + start : undefined;
}

function isLaidOut({ shape, stride }: Tensor): boolean {
  if (shape.length !== stride.length) return false;
  for (let dim = 0; dim < shape.length; dim++) {
    const steps = stride[dim] as number;
    const size = shape[dim] as number;
    if (!Number.isSafeInteger(size) || size < 0 || !Number.isSafeInteger(steps) || steps < 0) return false;
  }
  return true;
}

/** The unchanged content of a storage, in the byte order in which it was saved. */
export function rawStorageContent(storage: Storage, cache: RenderedPages): FixedContent {
  const { bytes } = storage;
  if (storage.nbytes === 0) return { kind: 'extents', size: 0, extents: [] };
  if (bytes.kind === 'absent') return absentContent(storage, storage.nbytes, bytes.reason);
  return rangeContent(bytes, 0, bytes.length, cache);
}

function checkedDims(tensor: Tensor): Dim[] {
  const { shape, stride, storageOffset } = tensor;
  const numbers = [...shape, ...stride, storageOffset];
  const valid =
    shape.length === stride.length && numbers.every((number) => Number.isSafeInteger(number) && number >= 0);
  const dims = valid ? collapse(shape, stride) : [];
  const limits = [count(dims) * DTYPES[tensor.dtype], span(dims) + storageOffset];
  if (!valid || !limits.every(Number.isSafeInteger)) {
    throw new MlfsError(
      'ERR_MLFS_TENSOR',
      `storage ${quoteName(tensor.storage.key)}: a tensor of shape [${shape}], stride [${stride}] and offset ${storageOffset} cannot be laid out`,
    );
  }
  return dims;
}

function refuseOutside(tensor: Tensor, dims: readonly Dim[], length: number): void {
  const end = (tensor.storageOffset + span(dims)) * DTYPES[tensor.dtype];
  if (end <= length) return;
  throw new MlfsError(
    'ERR_MLFS_TENSOR',
    `storage ${quoteName(tensor.storage.key)}: a tensor of shape [${tensor.shape}], stride [${tensor.stride}] and offset ${tensor.storageOffset} ends at byte ${end}, but the storage has ${length}`,
  );
}

/** Elements that share bytes can only be served in their stored order. */
function packedContent(
  tensor: Tensor,
  bytes: PresentBytes,
  perByte: number,
  cache: RenderedPages,
): FixedContent {
  const { storage, storageOffset } = tensor;
  if (!isContiguous(tensor) || storageOffset % perByte !== 0) {
    throw new MlfsError(
      'ERR_MLFS_TENSOR',
      `storage ${quoteName(storage.key)}: a view of ${tensor.dtype} of shape [${tensor.shape}], stride [${tensor.stride}] and offset ${storageOffset} does not lie on whole bytes in C order`,
    );
  }
  const start = storageOffset / perByte;
  const size = nbytes(tensor);
  if (start + size > bytes.length) {
    throw new MlfsError(
      'ERR_MLFS_TENSOR',
      `storage ${quoteName(storage.key)}: a tensor of ${tensor.dtype} ends at byte ${start + size}, but the storage has ${bytes.length}`,
    );
  }
  return rangeContent(bytes, start, size, cache);
}

type PresentBytes = Exclude<StorageBytes, { kind: 'absent' }>;
type StoredBytes = StorageBytes & { kind: 'extent' };

function rangeContent(bytes: PresentBytes, start: number, size: number, cache: RenderedPages): FixedContent {
  if (bytes.kind === 'extent') {
    const { image, readOnly } = bytes;
    const extents: readonly Extent[] = [{ kind: 'image', image, offset: bytes.offset + start, length: size }];
    if (readOnly === true) return { kind: 'extents', size, extents };
    return { kind: 'extents', size, extents, writer: extentsWriter(image, () => extents) };
  }
  if (bytes.kind === 'decoded') {
    return {
      kind: 'rendered',
      size,
      read: (offset, length) => bytes.read(start + offset, Math.max(0, Math.min(length, size - offset))),
    };
  }
  const inflated = inflatedContent(bytes, cache);
  if (start === 0 && size === inflated.size) return inflated;
  return {
    kind: 'rendered',
    size,
    read: (offset, length) => inflated.read(start + offset, Math.max(0, Math.min(length, size - offset))),
  };
}

function hasLongRuns(dims: readonly Dim[], itemsize: number): boolean {
  const { length, starts } = runs(dims);
  return length * itemsize >= EXTENT_RUN_BYTES && count(starts) <= MAX_EXTENTS;
}

/** The runs of a strided view as extents. They are listed on demand, since there may be thousands for a tensor that is never read. */
class RunsContent implements ExtentContent {
  readonly kind = 'extents';
  readonly size: number;
  readonly writer?: ContentWriter;
  readonly #list: () => Extent[];
  #extents: readonly Extent[] | undefined;

  constructor(bytes: StoredBytes, start: number, dims: readonly Dim[], itemsize: number) {
    const { length, starts } = runs(dims);
    const { image, offset } = bytes;
    this.size = count(dims) * itemsize;
    if (isInjective(dims) && bytes.readOnly !== true) this.writer = extentsWriter(image, () => this.extents);
    this.#list = () =>
      Array.from({ length: count(starts) }, (_, index) => ({
        kind: 'image',
        image,
        offset: offset + start + locate(starts, index) * itemsize,
        length: length * itemsize,
      }));
  }

  get extents(): readonly Extent[] {
    this.#extents ??= this.#list();
    return this.#extents;
  }
}

/** The place of a gathered view in the image, and whether it may be written there. */
function writableRange(bytes: PresentBytes, dims: readonly Dim[]): StorageRange | undefined {
  if (bytes.kind !== 'extent') return undefined;
  const { image, offset, length, readOnly } = bytes;
  return { image, offset, length, writable: isInjective(dims) && readOnly !== true };
}

function storageReader(bytes: PresentBytes, cache: RenderedPages): StorageReader {
  if (bytes.kind === 'extent') {
    return {
      sequential: false,
      read: (offset, length) => bytes.image.read(bytes.offset + offset, length),
    };
  }
  if (bytes.kind === 'decoded') return { sequential: false, read: bytes.read };
  const inflated = inflatedContent(bytes, cache);
  return { sequential: true, read: (offset, length) => inflated.read(offset, length) };
}

/** One inflater for all tensors of a storage. */
const inflatedStorages = new WeakMap<RenderedPages, WeakMap<StorageBytes, InflatedContent>>();

function inflatedContent(bytes: PresentBytes & { kind: 'deflated' }, cache: RenderedPages): InflatedContent {
  let ofCache = inflatedStorages.get(cache);
  if (ofCache === undefined) {
    ofCache = new WeakMap();
    inflatedStorages.set(cache, ofCache);
  }
  let inflated = ofCache.get(bytes);
  if (inflated === undefined) {
    inflated = new InflatedContent(bytes, cache);
    ofCache.set(bytes, inflated);
  }
  return inflated;
}

function absentContent(storage: Storage, size: number, reason: string): RenderedContent {
  return {
    kind: 'rendered',
    size,
    read: async () => {
      throw new MlfsError(
        'ERR_MLFS_STORAGE',
        `storage ${quoteName(storage.key)} has no bytes in this file: ${reason}`,
        {
          errno: 'ENODATA',
        },
      );
    },
  };
}
