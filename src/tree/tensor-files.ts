/**
 * One inode a tensor, however many names it has and in however many rooms: tied weights, memoised objects and a checkpoint's
 * copy of the state dict are one file with several links. Two tensors are the same when they are the same view: storage,
 * offset, shape, stride, dtype and lazy bits. Views that only overlap are different files over the same extents.
 */

import { DTYPES, nbytes, type Tensor } from '../checkpoint/tensor.ts';
import { tensorContent } from '../checkpoint/tensor-content.ts';
import { MlfsError } from '../errors.ts';
import type { Content } from '../storage/content.ts';
import type { PageCache } from '../storage/page-cache.ts';
import type { DirectoryInode, FileInode } from './inode.ts';
import { freeStem, type InodeTable } from './inode-table.ts';

export class TensorFiles {
  readonly #table: InodeTable;
  readonly #cache: PageCache;
  readonly #byTensor = new Map<Tensor, FileInode>();
  readonly #byView = new Map<string, FileInode>();
  /** The gradient files of parameters, by the parameter's inode. */
  readonly #gradients = new Map<FileInode, FileInode>();
  readonly #firstPaths = new Map<FileInode, string>();

  constructor(table: InodeTable, cache: PageCache) {
    this.#table = table;
    this.#cache = cache;
  }

  /**
   * Puts NAME.bin, and for a parameter NAME.grad, into a folder. `folderPath` is what readers call the folder, for
   * documents that refer to the file.
   */
  place(
    folder: DirectoryInode,
    folderPath: string,
    stem: string,
    tensor: Tensor,
    role: { readonly parameter: boolean },
  ): void {
    const free = freeStem(folder, stem, role.parameter ? ['.bin', '.grad'] : ['.bin']);
    const inode = this.#inodeOf(tensor);
    this.#table.link(folder, `${free}.bin`, inode);
    if (!this.#firstPaths.has(inode)) this.#firstPaths.set(inode, `${folderPath}/${free}.bin`);
    if (role.parameter) this.#table.link(folder, `${free}.grad`, this.#gradientOf(inode));
  }

  /** The path in the mount under which a tensor was placed first, from the root: `/model/fc/weight.bin`. */
  pathOf(tensor: Tensor): string | undefined {
    const inode = this.#byTensor.get(tensor) ?? this.#byView.get(viewKey(tensor));
    return inode === undefined ? undefined : this.#firstPaths.get(inode);
  }

  #inodeOf(tensor: Tensor): FileInode {
    const known = this.#byTensor.get(tensor);
    if (known !== undefined) return known;
    const key = viewKey(tensor);
    let inode = this.#byView.get(key);
    if (inode === undefined) {
      inode = this.#table.file({
        content: () => contentOf(tensor, this.#cache),
        xattrs: () => tensorXattrs(tensor),
        size: nbytes(tensor),
      });
      this.#byView.set(key, inode);
    }
    this.#byTensor.set(tensor, inode);
    return inode;
  }

  /** No checkpoint holds gradients: the file is empty until somebody writes one. */
  #gradientOf(parameter: FileInode): FileInode {
    let gradient = this.#gradients.get(parameter);
    if (gradient === undefined) {
      gradient = this.#table.file({ content: () => ({ kind: 'extents', size: 0, extents: [] }), size: 0 });
      this.#gradients.set(parameter, gradient);
    }
    return gradient;
  }
}

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
