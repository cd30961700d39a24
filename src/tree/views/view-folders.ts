import { type DirectoryInode, FIRST_SCRATCH_NODEID, type FileInode, type Inode } from '../../inode.ts';
import { freeStem, type InodeBlock } from '../inode-table.ts';
import { TensorInode } from '../tensor-files.ts';

/** The name and the content of a tensor's file in a view. */
export interface View {
  /** `.npy` */
  readonly suffix: string;
  readonly file: (tensor: TensorInode, nodeid: number, mtimeMs: number) => ViewFile;
}

export interface ViewFile extends FileInode {
  nlink: number;
}

const TENSOR_SUFFIX = '.bin';

/**
 * A folder of /model in another format. It is filled at the first access: a mount of 20,000 tensors does not pay for views that nobody opens.
 * A tensor with several names is one file here, too.
 */
export class ViewFolder implements DirectoryInode {
  readonly kind = 'directory';
  readonly nodeid: number;
  readonly parent: number;
  readonly mode: number;
  readonly mtimeMs: number;
  readonly writable: boolean;
  readonly #model: DirectoryInode;
  readonly #views: Views;
  #children: Map<string, Inode> | undefined;

  constructor(
    numbers: { nodeid: number; parent: number; mtimeMs: number },
    model: DirectoryInode,
    views: Views,
  ) {
    this.nodeid = numbers.nodeid;
    this.parent = numbers.parent;
    this.mtimeMs = numbers.mtimeMs;
    this.writable = views.writable;
    this.mode = views.writable ? 0o755 : 0o555;
    this.#model = model;
    this.#views = views;
  }

  get unmade(): boolean {
    return this.#children === undefined;
  }

  get children(): Map<string, Inode> {
    if (this.#children === undefined) {
      this.#children = new Map();
      this.#views.fill(this, this.#model);
    }
    return this.#children;
  }
}

/** One view of the whole model. */
export class Views {
  readonly writable: boolean;
  readonly #block: InodeBlock;
  readonly #view: View;
  readonly #files = new Map<TensorInode, ViewFile>();

  constructor(block: InodeBlock, view: View, writable: boolean) {
    this.#block = block;
    this.#view = view;
    this.writable = writable;
  }

  folder(model: DirectoryInode, parent: number): ViewFolder {
    return this.#block.make((nodeid, mtimeMs) => new ViewFolder({ nodeid, parent, mtimeMs }, model, this));
  }

  /** Adds the folders and tensors of a folder of /model to its view. Scratch files there are not tensors and are left out. */
  fill(folder: ViewFolder, model: DirectoryInode): void {
    const { children } = folder;
    const { suffix } = this.#view;
    for (const [name, inode] of model.children) {
      if (inode.nodeid >= FIRST_SCRATCH_NODEID) continue;
      if (inode.kind === 'directory') children.set(name, this.folder(inode, folder.nodeid));
    }
    for (const [name, inode] of model.children) {
      if (!(inode instanceof TensorInode) || !name.endsWith(TENSOR_SUFFIX)) continue;
      const file = this.#fileOf(inode);
      const stem = freeStem(folder, name.slice(0, -TENSOR_SUFFIX.length), [suffix]);
      children.set(stem + suffix, file);
      file.nlink++;
    }
  }

  #fileOf(tensor: TensorInode): ViewFile {
    let file = this.#files.get(tensor);
    if (file === undefined) {
      file = this.#block.make((nodeid, mtimeMs) => this.#view.file(tensor, nodeid, mtimeMs));
      this.#files.set(tensor, file);
    }
    return file;
  }
}

/** The maximum number of inodes for one view of a folder of /model, itself included. */
export function inodesBelow(model: DirectoryInode): number {
  const tensors = new Set<Inode>();
  const count = (folder: DirectoryInode): number => {
    let folders = 1;
    for (const inode of folder.children.values()) {
      if (inode.kind === 'directory') folders += count(inode);
      else if (inode instanceof TensorInode) tensors.add(inode);
    }
    return folders;
  };
  return count(model) + tensors.size;
}
