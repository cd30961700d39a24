/**
 * One inode for each tensor, however many names it has and in however many rooms: tied weights, memoised objects and a checkpoint's copy of
 * the state dict are one file with several links. Two tensors are the same if they are the same view (checkpoint/tensor-views.ts). Views that
 * only overlap are different files over the same extents.
 */

import { elementsPerItem } from '../checkpoint/dtypes.ts';
import { encodeElement } from '../checkpoint/element-encoding.ts';
import { byteOfElement, DTYPES, nbytes, type Storage, type Tensor } from '../checkpoint/tensor.ts';
import { storedAt, tensorContent } from '../checkpoint/tensor-content.ts';
import { DistinctTensors } from '../checkpoint/tensor-views.ts';
import { MlfsError } from '../errors.ts';
import { describeFile, type FileInode, type KnownFile } from '../inode.ts';
import type { Content, StoredContent } from '../storage/content.ts';
import type { Image } from '../storage/image.ts';
import type { RenderedPages } from '../storage/rendered-pages.ts';
import { Uint32Column } from './columns.ts';
import { dirtyBytes } from './dirty-bytes.ts';
import type { Folder, InodeTable } from './inode-table.ts';
import { PlainFilesByPlace } from './plain-files.ts';

export interface TensorFilesOptions {
  readonly cache: RenderedPages;
  readonly writable: boolean;
  /** Tensors that have numbers already. */
  readonly distinct?: DistinctTensors;
  /** Gradients inside the checkpoint, by parameter name. */
  readonly gradients?: ReadonlyMap<string, Tensor>;
  /** Where the other gradients are kept; without it they are empty. */
  readonly stored?:
    | {
        readonly gradientSizes: ReadonlyMap<string, number>;
        readonly gradient: (name: string, size: number, maxSize: number) => StoredContent;
      }
    | undefined;
}

/** A tensor that has a file: its first name in the model, the next names, and the number of names. */
export interface NamedByFiles {
  readonly tensor: Tensor;
  readonly firstName: string | undefined;
  readonly otherNames: readonly string[] | undefined;
  readonly namesTotal: number;
}

export class TensorFiles {
  readonly #table: InodeTable;
  readonly options: TensorFilesOptions;
  readonly #tensorMaker: number;
  readonly #gradientMaker: number;
  /** The numbers of the tensors. */
  readonly #tensors: DistinctTensors;
  /** The numbers of the tensors that have files, in the order in which they got them, and each number's place in this order. */
  readonly #placed = new Uint32Column();
  readonly #orders = new Uint32Column();
  /** By the tensor's number: the inode of its file, or 0. */
  readonly #nodeids = new Uint32Column();
  readonly #gradients = new Uint32Column();
  /** The parameter's name under which a gradient is kept. */
  readonly #gradientNames: string[] = [];
  /** The first name in the model, the next names, and the number of names. */
  readonly #firstNames: string[] = [];
  readonly #otherNames = new Map<number, string[]>();
  readonly #namesTotal = new Uint32Column();

  constructor(table: InodeTable, options: TensorFilesOptions) {
    this.#table = table;
    this.options = options;
    this.#tensors = options.distinct ?? new DistinctTensors();
    const gradientMode = options.stored === undefined ? 0o444 : 0o644;
    this.#tensorMaker = table.maker({
      make: (nodeid, mtimeMs, number) =>
        new TensorInode(nodeid, mtimeMs, number, this.#tensors.at(number), this),
      describe: (number, into) => this.#describe(number, into),
    });
    this.#gradientMaker = table.maker({
      make: (nodeid, mtimeMs, number) =>
        new GradientInode(nodeid, mtimeMs, gradientMode, this, () => this.#storedGradient(number)),
      describe: (number, into) => {
        const name = this.#gradientNames[number];
        into.mode = gradientMode;
        into.size = name === undefined ? 0 : (options.stored?.gradientSizes.get(name) ?? 0);
        into.image = undefined;
        into.readable = true;
        into.follows = false;
        into.hasXattrs = false;
        return true;
      },
    });
  }

  /**
   * Adds NAME.bin, and for a parameter NAME.grad, to a folder. `parameter` is its name in the state dict. Returns the tensor's number.
   */
  place(folder: Folder, stem: string, tensor: Tensor, parameter?: string): number {
    const names = this.#table.freeNames(folder, stem, parameter === undefined ? ALONE : WITH_GRADIENT);
    const number = this.#tensors.add(tensor);
    this.#table.linkNamed(folder, names[0] as number, this.#nodeidOf(number));
    if (parameter !== undefined)
      this.#table.linkNamed(folder, names[1] as number, this.#gradientOf(number, parameter));
    return number;
  }

  /** Adds another name in the model. */
  call(number: number, name: string): void {
    const total = this.#namesTotal.at(number) + 1;
    this.#namesTotal.set(number, total);
    if (total === 1) this.#firstNames[number] = name;
    else if (total <= MAX_ALIASES + 1) {
      const others = this.#otherNames.get(number);
      if (others === undefined) this.#otherNames.set(number, [name]);
      else others.push(name);
    }
  }

  has(tensor: Tensor): boolean {
    const number = this.#tensors.find(tensor);
    return number !== undefined && this.#nodeids.at(number) !== 0;
  }

  /**
   * The path of a tensor's file, by the first of its names: `/model/fc/weight.bin`. Use it for many tensors: it makes one walk, which yields
   * between its parts.
   */
  *paths(): Generator<void, (tensor: Tensor) => string | undefined> {
    /** The first entry of each tensor, plus 1. */
    const entries = new Uint32Array(this.#tensors.size);
    yield* this.#table.entries((entry, nodeid) => {
      const number = this.#table.subjectOf(nodeid, this.#tensorMaker);
      if (number !== undefined && entries[number] === 0) entries[number] = entry + 1;
    });
    return (tensor) => {
      const number = this.#tensors.find(tensor);
      const entry = number === undefined ? 0 : (entries[number] ?? 0);
      return entry === 0 ? undefined : this.#table.pathOfEntry(entry - 1);
    };
  }

  /** The files whose bytes are one run of the image, for a mount that is written to. */
  plainFiles(image: Image): PlainFilesByPlace {
    const starts = new Float64Array(this.#placed.length);
    const ends = new Float64Array(this.#placed.length);
    const nodeids = new Uint32Array(this.#placed.length);
    let count = 0;
    for (let number = 0; number < this.#nodeids.length; number++) {
      const nodeid = this.#nodeids.at(number);
      const tensor = this.#tensors.at(number);
      const start = nodeid === 0 ? undefined : storedAt(tensor);
      const { bytes } = tensor.storage;
      if (start === undefined || bytes.kind !== 'extent' || bytes.image !== image) continue;
      starts[count] = start;
      ends[count] = start + nbytes(tensor);
      nodeids[count++] = nodeid;
    }
    return new PlainFilesByPlace(image, {
      starts: starts.subarray(0, count),
      ends: ends.subarray(0, count),
      nodeids: nodeids.subarray(0, count),
    });
  }

  /** How many tensors have files. */
  get placed(): number {
    return this.#placed.length;
  }

  /** The place of a tensor's file in the order in which they were made, from 0; undefined for other files. */
  orderOf(nodeid: number): number | undefined {
    const number = this.#table.subjectOf(nodeid, this.#tensorMaker);
    return number === undefined ? undefined : this.#orders.at(number);
  }

  /** The nodeid of the tensor's file that was made in this place. */
  nodeidAt(order: number): number {
    return this.#nodeids.at(this.#placed.at(order));
  }

  /** The tensor whose file was made in this place. */
  tensorOfOrder(order: number): Tensor {
    return this.#tensors.at(this.#placed.at(order));
  }

  /** The content that the file of a tensor has; each call makes another object. */
  contentOf(tensor: Tensor): Content {
    return contentOf(tensor, this.options);
  }

  /** What is known of the tensor's file that was made in this place, without its object. */
  knownAt(order: number, into: KnownFile): NamedByFiles {
    const number = this.#placed.at(order);
    into.asks = false;
    this.#describe(number, into);
    return {
      tensor: this.#tensors.at(number),
      firstName: this.firstName(number),
      otherNames: this.otherNames(number),
      namesTotal: this.namesTotal(number),
    };
  }

  /** The tensor of a file; undefined for other files. */
  tensorAt(nodeid: number): TensorInode | undefined {
    if (this.#table.subjectOf(nodeid, this.#tensorMaker) === undefined) return undefined;
    return this.#table.get(nodeid) as TensorInode;
  }

  firstName(number: number): string | undefined {
    return this.#firstNames[number];
  }

  otherNames(number: number): readonly string[] | undefined {
    return this.#otherNames.get(number);
  }

  namesTotal(number: number): number {
    return this.#namesTotal.at(number);
  }

  linksOf(nodeid: number): number {
    return this.#table.linksOf(nodeid);
  }

  /** A file whose bytes are the tensor's own bytes in the checkpoint needs no object. */
  #describe(number: number, into: KnownFile): boolean {
    const tensor = this.#tensors.at(number);
    const offset = storedAt(tensor);
    const { bytes } = tensor.storage;
    if (offset === undefined || bytes.kind !== 'extent')
      return describeFile(this.#table.get(this.#nodeids.at(number)) as TensorInode, into);
    into.mode = this.options.writable && bytes.readOnly !== true ? 0o644 : 0o444;
    into.size = nbytes(tensor);
    into.image = bytes.image;
    into.offset = offset;
    into.readable = true;
    into.follows = this.#table.plainFiles?.has(this.#nodeids.at(number)) === false;
    into.hasXattrs = true;
    return true;
  }

  #nodeidOf(number: number): number {
    const known = this.#nodeids.at(number);
    if (known !== 0) return known;
    const nodeid = this.#table.insertMade(this.#tensorMaker, number, nbytes(this.#tensors.at(number)));
    this.#nodeids.set(number, nodeid);
    this.#orders.set(number, this.#placed.push(number));
    return nodeid;
  }

  /** Tied parameters have one gradient, under the first of their names. */
  #gradientOf(parameter: number, name: string): number {
    const known = this.#gradients.at(parameter);
    if (known !== 0) return known;
    const nodeid = this.#savedGradient(parameter, name) ?? this.#newGradient(parameter, name);
    this.#gradients.set(parameter, nodeid);
    return nodeid;
  }

  #savedGradient(parameter: number, name: string): number | undefined {
    const saved = this.options.gradients?.get(name);
    if (saved === undefined || nbytes(saved) !== nbytes(this.#tensors.at(parameter))) return undefined;
    return this.#nodeidOf(this.#tensors.add(saved));
  }

  #newGradient(parameter: number, name: string): number {
    if (this.options.stored !== undefined) this.#gradientNames[parameter] = name;
    return this.#table.insertMade(this.#gradientMaker, parameter, 0);
  }

  #storedGradient(parameter: number): Content {
    const { stored } = this.options;
    if (stored === undefined) return EMPTY;
    const name = this.#gradientNames[parameter] as string;
    return stored.gradient(name, stored.gradientSizes.get(name) ?? 0, nbytes(this.#tensors.at(parameter)));
  }
}

/** Maximum number of other names kept for a tensor: a document lists no more. */
export const MAX_ALIASES = 16;

const ALONE = ['.bin'] as const;
const WITH_GRADIENT = ['.bin', '.grad'] as const;

/** The file of a tensor. */
export class TensorInode implements FileInode {
  readonly kind = 'file';
  readonly nodeid: number;
  readonly mtimeMs: number;
  readonly tensor: Tensor;
  readonly #number: number;
  readonly #files: TensorFiles;
  #content: Content | undefined;

  constructor(nodeid: number, mtimeMs: number, number: number, tensor: Tensor, files: TensorFiles) {
    this.nodeid = nodeid;
    this.mtimeMs = mtimeMs;
    this.tensor = tensor;
    this.#number = number;
    this.#files = files;
  }

  get nlink(): number {
    return this.#files.linksOf(this.nodeid);
  }

  get firstName(): string | undefined {
    return this.#files.firstName(this.#number);
  }

  get otherNames(): readonly string[] | undefined {
    return this.#files.otherNames(this.#number);
  }

  get namesTotal(): number {
    return this.#files.namesTotal(this.#number);
  }

  get content(): Content {
    this.#content ??= this.#files.contentOf(this.tensor);
    return this.#content;
  }

  get mode(): number {
    const { content } = this;
    return 'writer' in content && content.writer !== undefined ? 0o644 : 0o444;
  }

  get element(): (number: string) => Uint8Array | undefined {
    return (number) => encodeElement(number, this.tensor.dtype);
  }

  get xattrs(): ReadonlyMap<string, string> {
    return tensorXattrs(this.tensor);
  }
}

/** Empty until somebody writes the gradient. */
class GradientInode implements FileInode {
  readonly kind = 'file';
  readonly mode: number;
  readonly nodeid: number;
  readonly mtimeMs: number;
  readonly #files: TensorFiles;
  readonly #make: () => Content;
  #content: Content | undefined;

  constructor(nodeid: number, mtimeMs: number, mode: number, files: TensorFiles, make: () => Content) {
    this.nodeid = nodeid;
    this.mtimeMs = mtimeMs;
    this.mode = mode;
    this.#files = files;
    this.#make = make;
  }

  get nlink(): number {
    return this.#files.linksOf(this.nodeid);
  }

  get content(): Content {
    this.#content ??= this.#make();
    return this.#content;
  }
}

const EMPTY: Content = { kind: 'extents', size: 0, extents: [] };

/** A tensor that cannot be laid out keeps its name and size; reading it fails with the reason. */
function contentOf(tensor: Tensor, { cache, writable }: TensorFilesOptions): Content {
  try {
    const content = tensorContent(tensor, cache);
    return writable ? content : readOnly(content);
  } catch (cause) {
    if (!(cause instanceof MlfsError)) throw cause;
    const size = nbytes(tensor);
    return {
      kind: 'rendered',
      size: Number.isSafeInteger(size) && size >= 0 ? size : 0,
      read: () => Promise.reject(cause),
    };
  }
}

/** The same content without its writer. */
function readOnly(content: Content): Content {
  if (!('writer' in content) || content.writer === undefined) return content;
  if (content.kind === 'extents') {
    const { size } = content;
    return {
      kind: 'extents',
      size,
      get extents() {
        return content.extents;
      },
    };
  }
  return { kind: 'rendered', size: content.size, read: (offset, length) => content.read(offset, length) };
}

/** Offset of the tensor's first byte in the checkpoint file; undefined if it is compressed or not in the file. */
export function fileOffset(tensor: Tensor): number | undefined {
  const { bytes } = tensor.storage;
  if (bytes.kind !== 'extent') return undefined;
  return bytes.offset + byteOfElement(tensor.dtype, tensor.storageOffset);
}

function dirtyIn(tensor: Tensor): number {
  const { bytes } = tensor.storage;
  return bytes.kind === 'extent' ? dirtyBytes(bytes.image.overlay, tensor).bytes : 0;
}

/** `user.mlfs.*`: a list is written as `64,3,7,7`; the offset is in bytes of the checkpoint file, as decimal text. */
function tensorXattrs(tensor: Tensor): ReadonlyMap<string, string> {
  return new Map([
    ['user.mlfs.dtype', tensor.dtype],
    ['user.mlfs.shape', tensor.shape.join(',')],
    ['user.mlfs.stride', tensor.stride.join(',')],
    ['user.mlfs.storage', tensor.storage.key],
    ['user.mlfs.offset', String(fileOffset(tensor) ?? 'none')],
    ['user.mlfs.dirty', String(dirtyIn(tensor))],
  ]);
}

/**
 * The attributes of a storage that was saved by itself: those of the tensor that shows all of it, with bytes as elements if the storage has no
 * dtype.
 */
export function storageXattrs(storage: Storage): ReadonlyMap<string, string> {
  const dtype = storage.dtype ?? 'uint8';
  const shape = [Math.floor(storage.nbytes / DTYPES[dtype]) * elementsPerItem(dtype)];
  const all = { type: 'tensor', dtype, shape, stride: [1], storageOffset: 0, storage } as const;
  return tensorXattrs({ ...all, requiresGrad: false, isParameter: false });
}
