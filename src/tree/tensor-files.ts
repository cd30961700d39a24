/**
 * One inode for each tensor, however many names it has and in however many rooms: tied weights, memoised objects and a checkpoint's copy of
 * the state dict are one file with several links. Two tensors are the same if they are the same view (checkpoint/tensor-views.ts). Views that
 * only overlap are different files over the same extents.
 */

import { elementsPerItem } from '../checkpoint/dtypes.ts';
import { encodeElement } from '../checkpoint/element-encoding.ts';
import { byteOfElement, DTYPES, nbytes, type Storage, type Tensor } from '../checkpoint/tensor.ts';
import { tensorContent } from '../checkpoint/tensor-content.ts';
import { ViewMap } from '../checkpoint/tensor-views.ts';
import { MlfsError } from '../errors.ts';
import type { DirectoryInode, FileInode, Inode } from '../inode.ts';
import type { Content, StoredContent } from '../storage/content.ts';
import type { RenderedPages } from '../storage/rendered-pages.ts';
import { dirtyBytes } from './dirty-bytes.ts';
import { freeStem, type InodeTable } from './inode-table.ts';

export interface TensorFilesOptions {
  readonly cache: RenderedPages;
  readonly writable: boolean;
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

export class TensorFiles {
  readonly #table: InodeTable;
  readonly #options: TensorFilesOptions;
  readonly #inodes = new ViewMap<TensorInode>();

  constructor(table: InodeTable, options: TensorFilesOptions) {
    this.#table = table;
    this.#options = options;
  }

  /** Adds NAME.bin, and for a parameter NAME.grad, to a folder. `parameter` is its name in the state dict. */
  place(folder: DirectoryInode, stem: string, tensor: Tensor, parameter?: string): TensorInode {
    const free = freeStem(folder, stem, parameter === undefined ? ALONE : WITH_GRADIENT);
    const inode = this.#inodeOf(tensor);
    this.#table.link(folder, `${free}.bin`, inode);
    if (parameter !== undefined) this.#table.link(folder, `${free}.grad`, this.#gradientOf(inode, parameter));
    return inode;
  }

  has(tensor: Tensor): boolean {
    return this.#inodes.has(tensor);
  }

  /**
   * The path of a tensor's file, by the first of its names: `/model/fc/weight.bin`. Use it for many tensors: it makes one walk, which yields
   * between folders.
   */
  *paths(): Generator<void, (tensor: Tensor) => string | undefined> {
    const paths = new Map<Inode, string>();
    const open: { readonly prefix: string; readonly entries: Iterator<[string, Inode]> }[] = [
      { prefix: '/', entries: this.#table.root.children.entries() },
    ];
    for (let looked = 0; ; looked++) {
      const { prefix, entries } = open.at(-1) ?? {};
      if (entries === undefined || prefix === undefined) break;
      const { done, value } = entries.next();
      if (done === true) {
        open.pop();
        continue;
      }
      const [name, inode] = value;
      if (inode.kind === 'directory') {
        if (inode.unmade !== true) {
          open.push({ prefix: `${prefix}${name}/`, entries: inode.children.entries() });
        }
      } else if (inode instanceof TensorInode && !paths.has(inode)) paths.set(inode, prefix + name);
      if (looked % 256 === 0) yield;
    }
    return (tensor) => {
      const inode = this.#inodes.get(tensor);
      return inode === undefined ? undefined : paths.get(inode);
    };
  }

  #inodeOf(tensor: Tensor): TensorInode {
    return this.#inodes.get(tensor) ?? this.#make(tensor);
  }

  #make(tensor: Tensor): TensorInode {
    const inode = this.#table.insert(
      (nodeid, mtimeMs) => new TensorInode(nodeid, mtimeMs, tensor, this.#options),
      nbytes(tensor),
    );
    this.#inodes.set(tensor, inode);
    return inode;
  }

  /** Tied parameters have one gradient, under the first of their names. */
  #gradientOf(parameter: TensorInode, name: string): FileInode {
    parameter.gradient ??= this.#savedGradient(parameter, name) ?? this.#storedGradient(parameter, name);
    return parameter.gradient;
  }

  #savedGradient({ tensor }: TensorInode, name: string): FileInode | undefined {
    const saved = this.#options.gradients?.get(name);
    return saved === undefined || nbytes(saved) !== nbytes(tensor) ? undefined : this.#inodeOf(saved);
  }

  #storedGradient({ tensor }: TensorInode, name: string): FileInode {
    const { stored } = this.#options;
    const content = (): Content =>
      stored === undefined
        ? EMPTY
        : stored.gradient(name, stored.gradientSizes.get(name) ?? 0, nbytes(tensor));
    return this.#table.insert(
      (nodeid, mtimeMs) => new GradientInode(nodeid, mtimeMs, stored === undefined ? 0o444 : 0o644, content),
      0,
    );
  }
}

/** Maximum number of other names kept for a tensor: a document lists no more. */
export const MAX_ALIASES = 16;

const ALONE = ['.bin'] as const;
const WITH_GRADIENT = ['.bin', '.grad'] as const;

/** A mount has one for each tensor, so it stores only what it must and computes the rest at the first use. */
export class TensorInode implements FileInode {
  readonly kind = 'file';
  readonly nodeid: number;
  readonly mtimeMs: number;
  readonly tensor: Tensor;
  nlink = 0;
  gradient: FileInode | undefined = undefined;
  readonly options: TensorFilesOptions;
  made: Content | undefined = undefined;
  /** Its first name in the model, the next names, and the number of names. */
  firstName: string | undefined = undefined;
  otherNames: string[] | undefined = undefined;
  namesTotal = 0;

  constructor(nodeid: number, mtimeMs: number, tensor: Tensor, options: TensorFilesOptions) {
    this.nodeid = nodeid;
    this.mtimeMs = mtimeMs;
    this.tensor = tensor;
    this.options = options;
  }

  /** Adds another name in the model. */
  call(name: string): void {
    this.namesTotal++;
    if (this.firstName === undefined) this.firstName = name;
    else if (this.otherNames === undefined) this.otherNames = [name];
    else if (this.otherNames.length < MAX_ALIASES) this.otherNames.push(name);
  }

  get content(): Content {
    this.made ??= contentOf(this.tensor, this.options);
    return this.made;
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
  nlink = 0;
  readonly make: () => Content;
  made: Content | undefined = undefined;

  constructor(nodeid: number, mtimeMs: number, mode: number, make: () => Content) {
    this.nodeid = nodeid;
    this.mtimeMs = mtimeMs;
    this.mode = mode;
    this.make = make;
  }

  get content(): Content {
    this.made ??= this.make();
    return this.made;
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
