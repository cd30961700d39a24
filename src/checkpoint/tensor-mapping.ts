/**
 * A tensor, or a window of it, as memory: the bytes of the file themselves, without a copy. Only tensors whose bytes lie in the file in one piece, as
 * they are read, can be mapped; every other tensor must be made, and reading makes it.
 */
import { MlfsError } from '../errors.ts';
import type { FixedContent } from '../storage/content.ts';
import { mapRange } from '../storage/map-range.ts';
import type { MapAccess, MappedRange, MappingIntent, MappingMode } from '../storage/mapped-range.ts';
import { quoteName, visibleJson } from '../visible-text.ts';
import { DTYPE_ROWS, type DType } from './dtypes.ts';
import { DTYPES, type Tensor } from './tensor.ts';

/** The array of JavaScript that shows the elements of a dtype; a quantized dtype shows its integers. */
export type TensorArray =
  | Float32Array
  | Float64Array
  | Float16Elements
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

/** What is used of Float16Array, which Node has from version 24 on and older TypeScript does not know. */
export interface Float16Elements extends ArrayBufferView, Iterable<number> {
  readonly BYTES_PER_ELEMENT: number;
  readonly length: number;
  at(index: number): number | undefined;
  [index: number]: number;
}

interface Arrays {
  readonly bytes: Uint8Array;
  readonly array: TensorArray | undefined;
}

type ArrayType = new (buffer: ArrayBuffer, byteOffset: number, length: number) => TensorArray;

/** By numpy's names. Asked for at each use: a program may bring its own Float16Array. */
function arrayType(dtype: DType): ArrayType | undefined {
  switch (DTYPE_ROWS[dtype].numpy) {
    case 'f4':
      return Float32Array;
    case 'f8':
      return Float64Array;
    case 'f2':
      return (globalThis as { Float16Array?: ArrayType }).Float16Array;
    case 'i1':
      return Int8Array;
    case 'i2':
      return Int16Array;
    case 'i4':
      return Int32Array;
    case 'i8':
      return BigInt64Array;
    case 'u1':
      return Uint8Array;
    case 'u2':
      return Uint16Array;
    case 'u4':
      return Uint32Array;
    case 'u8':
      return BigUint64Array;
    default:
      return undefined;
  }
}

/** A mapped tensor. Close it, or declare it with `using`; otherwise the garbage collector releases it some time. It outlives the checkpoint's `close`. */
export class TensorMapping implements Disposable {
  /**
   * Whether this process survives when another program truncates the file: true with the addon. Without it, touching bytes that are gone ends the
   * process with SIGBUS.
   */
  readonly guarded: boolean;
  readonly #name: string;
  readonly #path: string;
  /** Undefined after `close`. */
  #arrays: Arrays | undefined;
  readonly #range: MappedRange | undefined;
  #torn = false;
  /** Whether `check` threw. */
  #reported = false;

  /** Internal: `checkpoint.map` creates these objects. `fileOffset` is that of the first byte. */
  constructor(
    name: string,
    path: string,
    dtype: DType,
    fileOffset: number,
    length: number,
    range: MappedRange | undefined,
  ) {
    this.#name = name;
    this.#path = path;
    this.#range = range;
    this.guarded = range?.guarded ?? true;
    const { buffer, byteOffset } = range ?? { buffer: new ArrayBuffer(0), byteOffset: 0 };
    const size = DTYPES[dtype];
    const Elements = length % size === 0 && fileOffset % size === 0 ? arrayType(dtype) : undefined;
    this.#arrays = {
      bytes: new Uint8Array(buffer, byteOffset, length),
      array: Elements === undefined ? undefined : new Elements(buffer, byteOffset, length / size),
    };
  }

  /** The bytes of the file, in C order and little-endian. Throws ERR_MLFS_USAGE after `close`. */
  get bytes(): Uint8Array {
    return this.#open().bytes;
  }

  /**
   * The elements. Undefined if JavaScript has no array of this dtype (bfloat16, bool, complex64, …), if the tensor's place in the file is no multiple of
   * its element size, or if the window is not whole elements. Throws ERR_MLFS_USAGE after `close`.
   */
  get array(): TensorArray | undefined {
    return this.#open().array;
  }

  /**
   * Whether bytes were gone at some time since `map`: a page that was touched could not be read, or the file is too short now. What is gone reads
   * as zeros. After `close` it tells what was true then.
   */
  get torn(): boolean {
    if (this.#arrays !== undefined && !this.#torn) this.#torn = this.#range?.torn() ?? false;
    return this.#torn;
  }
  /** To be called before a result that was computed from the bytes is used. Throws ERR_MLFS_TRUNCATED if they were gone at some time. */
  check(): void {
    if (!this.torn) return;
    this.#reported = true;
    throw new MlfsError(
      'ERR_MLFS_TRUNCATED',
      `${this.#path}: bytes of ${quoteName(this.#name)} were gone while it was mapped, and read as zeros`,
      {
        path: this.#path,
        advice:
          'Another program truncated the file, or its disk failed: what was computed is wrong. Open it again.',
      },
    );
  }

  /**
   * Releases the memory: arrays that were taken before have length 0 from then on. No operation in another thread (fs.write, zlib, crypto) may be
   * reading them: it would end the process. Throws ERR_MLFS_TRUNCATED, after it released everything, if the bytes were gone and `check` did not
   * say so. A second call does nothing.
   */
  close(): void {
    if (this.#arrays === undefined) return;
    const isNews = this.torn && !this.#reported;
    this.#arrays = undefined;
    this.#range?.close();
    if (isNews) this.check();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(): Arrays {
    if (this.#arrays !== undefined) return this.#arrays;
    throw new MlfsError(
      'ERR_MLFS_USAGE',
      `${this.#path}: the mapping of ${quoteName(this.#name)} is closed`,
      {
        path: this.#path,
      },
    );
  }
}

const MODES: readonly unknown[] = ['r', 'c'] satisfies readonly MappingMode[];
const INTENTS: readonly unknown[] = ['sequential', 'random', 'willNeed'] satisfies readonly MappingIntent[];

/** For callers in JavaScript. Throws ERR_MLFS_USAGE for a mode or an intent that does not exist. */
export function checkMapAccess(name: string, access: Partial<MapAccess> | undefined): void {
  const { mode, intent } = access ?? {};
  if (MODES.includes(mode) && (intent === undefined || INTENTS.includes(intent))) return;
  const given = visibleJson({ mode, intent });
  throw new MlfsError('ERR_MLFS_USAGE', `${quoteName(name)}: cannot be mapped with ${given}`, {
    advice:
      "mode is 'r' to read or 'c' to write into a private copy; intent is 'sequential', 'random', 'willNeed' or absent",
  });
}

/**
 * Maps [offset, offset + length) of a tensor whose content is `content`. Throws ERR_MLFS_USAGE if the tensor does not lie in the file in one piece, or has
 * edits that are not committed; ERR_MLFS_STORAGE if it has no bytes in the file; and as `mapRange`.
 */
export function mapTensor(
  name: string,
  tensor: Tensor,
  content: FixedContent,
  offset: number,
  length: number,
  access: MapAccess,
): TensorMapping {
  const { bytes } = tensor.storage;
  const path = 'image' in bytes ? bytes.image.path : '';
  if (content.size === 0) return new TensorMapping(name, path, tensor.dtype, 0, 0, undefined);
  const [extent, ...others] = content.kind === 'extents' ? content.extents : [];
  if (extent?.kind !== 'image' || others.length > 0) throw notStored(name, path, tensor);
  const start = extent.offset + offset;
  const { image } = extent;
  if (image.overlay.touches(start, start + length)) {
    throw new MlfsError(
      'ERR_MLFS_USAGE',
      `${quoteName(name)}: has edits that are not committed, which a mapping of the file does not show`,
      {
        path,
        advice: 'commit them first, or read it: readTensor(name)',
      },
    );
  }
  const range = length === 0 ? undefined : mapRange(image.base, start, length, access);
  return new TensorMapping(name, path, tensor.dtype, start, length, range);
}

function notStored(name: string, path: string, tensor: Tensor): MlfsError {
  const { bytes, byteorder } = tensor.storage;
  const quoted = quoteName(name);
  if (bytes.kind === 'absent') {
    return new MlfsError('ERR_MLFS_STORAGE', `${quoted}: has no bytes in this file: ${bytes.reason}`, {
      path,
      errno: 'ENODATA',
    });
  }
  return new MlfsError('ERR_MLFS_USAGE', `${quoted}: cannot be mapped: it ${reason()}`, {
    path,
    advice: 'read it, which makes its bytes: readTensor(name), or stream(name) in pieces',
  });

  function reason(): string {
    if (bytes.kind === 'deflated') return 'is compressed in the file';
    if (bytes.kind === 'decoded') return 'lies inside a pickle in another form';
    if (byteorder === 'big' && DTYPES[tensor.dtype] > 1) return 'is stored in big-endian byte order';
    if (tensor.conj === true || tensor.neg === true) return 'is computed: a conjugate or negative view';
    return `is not contiguous: shape [${tensor.shape}], stride [${tensor.stride}]`;
  }
}
