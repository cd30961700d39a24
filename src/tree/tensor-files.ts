/**
 * One inode a tensor, however many names it has and in however many rooms: tied weights, memoised objects and a checkpoint's
 * copy of the state dict are one file with several links. Two tensors are the same when they are the same view: storage,
 * offset, shape, stride, dtype and lazy bits. Views that only overlap are different files over the same extents.
 */

import { DTYPES, nbytes, type Storage, type Tensor } from '../checkpoint/tensor.ts';
import { tensorContent } from '../checkpoint/tensor-content.ts';
import { MlfsError } from '../errors.ts';
import type { Content } from '../storage/content.ts';
import type { PageCache } from '../storage/page-cache.ts';
import type { DirectoryInode, FileInode, Inode } from './inode.ts';
import { freeStem, type InodeTable } from './inode-table.ts';

export class TensorFiles {
  readonly #table: InodeTable;
  readonly #cache: PageCache;
  /** Most storages have one tensor: it needs no key. */
  readonly #firstOf = new Map<Storage, TensorInode>();
  /** The others, by their view. */
  readonly #others = new Map<string, TensorInode>();

  constructor(table: InodeTable, cache: PageCache) {
    this.#table = table;
    this.#cache = cache;
  }

  /** Puts NAME.bin, and for a parameter NAME.grad, into a folder. */
  place(folder: DirectoryInode, stem: string, tensor: Tensor, role: { readonly parameter: boolean }): void {
    const free = freeStem(folder, stem, role.parameter ? WITH_GRADIENT : ALONE);
    const inode = this.#find(tensor) ?? this.#make(tensor);
    this.#table.link(folder, `${free}.bin`, inode);
    if (role.parameter) this.#table.link(folder, `${free}.grad`, this.#gradientOf(inode));
  }

  has(tensor: Tensor): boolean {
    return this.#find(tensor) !== undefined;
  }

  /** Where a tensor's file is, by the first of its names: `/model/fc/weight.bin`. For many tensors: one walk. */
  paths(): (tensor: Tensor) => string | undefined {
    const paths = new Map<Inode, string>();
    const walk = (folder: DirectoryInode, prefix: string) => {
      for (const [name, inode] of folder.children) {
        if (inode.kind === 'directory') walk(inode, `${prefix}${name}/`);
        else if (inode instanceof TensorInode && !paths.has(inode)) paths.set(inode, prefix + name);
      }
    };
    walk(this.#table.root, '/');
    return (tensor) => {
      const inode = this.#find(tensor);
      return inode === undefined ? undefined : paths.get(inode);
    };
  }

  #find(tensor: Tensor): TensorInode | undefined {
    const first = this.#firstOf.get(tensor.storage);
    if (first === undefined || first.tensor === tensor) return first;
    const key = viewKey(tensor);
    return viewKey(first.tensor) === key ? first : this.#others.get(key);
  }

  #make(tensor: Tensor): TensorInode {
    const inode = this.#table.insert(
      (nodeid, mtimeMs) => new TensorInode(nodeid, mtimeMs, tensor, this.#cache),
      nbytes(tensor),
    );
    if (this.#firstOf.has(tensor.storage)) this.#others.set(viewKey(tensor), inode);
    else this.#firstOf.set(tensor.storage, inode);
    return inode;
  }

  #gradientOf(parameter: TensorInode): FileInode {
    parameter.gradient ??= this.#table.insert((nodeid, mtimeMs) => new GradientInode(nodeid, mtimeMs), 0);
    return parameter.gradient;
  }
}

const ALONE = ['.bin'] as const;
const WITH_GRADIENT = ['.bin', '.grad'] as const;

/** A mount has one a tensor: it holds what it must and works out the rest when somebody looks. */
class TensorInode implements FileInode {
  readonly kind = 'file';
  readonly mode = 0o444;
  readonly nodeid: number;
  readonly mtimeMs: number;
  readonly tensor: Tensor;
  nlink = 0;
  gradient: FileInode | undefined = undefined;
  readonly cache: PageCache;
  made: Content | undefined = undefined;

  constructor(nodeid: number, mtimeMs: number, tensor: Tensor, cache: PageCache) {
    this.nodeid = nodeid;
    this.mtimeMs = mtimeMs;
    this.tensor = tensor;
    this.cache = cache;
  }

  get content(): Content {
    this.made ??= contentOf(this.tensor, this.cache);
    return this.made;
  }

  get xattrs(): ReadonlyMap<string, string> {
    return tensorXattrs(this.tensor);
  }
}

/** No checkpoint holds gradients: the file is empty until somebody writes one. */
class GradientInode implements FileInode {
  readonly kind = 'file';
  readonly mode = 0o444;
  readonly nodeid: number;
  readonly mtimeMs: number;
  nlink = 0;

  constructor(nodeid: number, mtimeMs: number) {
    this.nodeid = nodeid;
    this.mtimeMs = mtimeMs;
  }

  get content(): Content {
    return EMPTY;
  }
}

const EMPTY: Content = { kind: 'extents', size: 0, extents: [] };

/** A tensor that cannot be laid out keeps its name and its size; reading it says why. */
function contentOf(tensor: Tensor, cache: PageCache): Content {
  try {
    return tensorContent(tensor, cache);
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

/** Equal for tensors that are the same view of the same storage. */
export function viewKey(tensor: Tensor): string {
  const bits = `${tensor.conj ? 'c' : ''}${tensor.neg ? 'n' : ''}`;
  return `${tensor.dtype}${bits} ${tensor.storageOffset} ${tensor.shape} ${tensor.stride} ${tensor.storage.key}`;
}

/** Where the tensor's first byte lies in the checkpoint file; undefined when it is compressed or not in the file. */
export function fileOffset(tensor: Tensor): number | undefined {
  const { bytes } = tensor.storage;
  if (bytes.kind !== 'extent') return undefined;
  return bytes.offset + tensor.storageOffset * DTYPES[tensor.dtype];
}

/** `user.mlfs.*`: lists are written as `64,3,7,7`, the offset in bytes of the checkpoint file, as decimal text. */
function tensorXattrs(tensor: Tensor): ReadonlyMap<string, string> {
  return new Map([
    ['user.mlfs.dtype', tensor.dtype],
    ['user.mlfs.shape', tensor.shape.join(',')],
    ['user.mlfs.stride', tensor.stride.join(',')],
    ['user.mlfs.storage', tensor.storage.key],
    ['user.mlfs.offset', String(fileOffset(tensor) ?? 'none')],
    ['user.mlfs.dirty', '0'],
  ]);
}
