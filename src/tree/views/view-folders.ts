import type { DirectoryInode, FileInode, Inode } from '../../inode.ts';
import type { InodeBlock, InodeTable } from '../inode-table.ts';
import { separated } from '../path-names.ts';
import type { TensorFiles, TensorInode } from '../tensor-files.ts';

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
  /** The nodeid of the folder of /model. */
  readonly #model: number;
  readonly #views: Views;
  #children: Map<string, Inode> | undefined;
  #fixedNames = 0;

  constructor(numbers: { nodeid: number; parent: number; mtimeMs: number }, model: number, views: Views) {
    this.nodeid = numbers.nodeid;
    this.parent = numbers.parent;
    this.mtimeMs = numbers.mtimeMs;
    this.writable = views.writable;
    this.mode = views.writable ? 0o755 : 0o555;
    this.#model = model;
    this.#views = views;
  }

  readonly madeOnDemand = true;

  get fixedNames(): number {
    return this.#fixedNames;
  }

  get unmade(): boolean {
    return this.#children === undefined;
  }

  get children(): Map<string, Inode> {
    if (this.#children === undefined) {
      this.#children = new Map();
      this.#views.fill(this, this.#model);
      this.#fixedNames = this.#children.size;
    }
    return this.#children;
  }
}

export interface ViewsParts {
  readonly table: InodeTable;
  readonly files: TensorFiles;
  readonly block: InodeBlock;
  readonly view: View;
  readonly writable: boolean;
}

/** One view of the whole model. */
export class Views {
  readonly #parts: ViewsParts;
  /** By the nodeid of the tensor's file. */
  readonly #made = new Map<number, ViewFile>();

  constructor(parts: ViewsParts) {
    this.#parts = parts;
  }

  get writable(): boolean {
    return this.#parts.writable;
  }

  folder(model: number, parent: number): ViewFolder {
    const { block } = this.#parts;
    return block.make((nodeid, mtimeMs) => new ViewFolder({ nodeid, parent, mtimeMs }, model, this));
  }

  /** Adds the folders and tensors of a folder of /model to its view. Scratch files there are not tensors and are left out. */
  fill(folder: ViewFolder, model: number): void {
    const { children } = folder;
    const { table, files, view } = this.#parts;
    for (const [name, nodeid] of table.childrenOf(model)) {
      if (table.isFolder(nodeid)) children.set(name, this.folder(nodeid, folder.nodeid));
    }
    for (const [name, nodeid] of table.childrenOf(model)) {
      const tensor = name.endsWith(TENSOR_SUFFIX) ? files.tensorAt(nodeid) : undefined;
      if (tensor === undefined) continue;
      const file = this.#fileOf(tensor);
      children.set(freeName(children, name.slice(0, -TENSOR_SUFFIX.length), view.suffix), file);
      file.nlink++;
    }
  }

  #fileOf(tensor: TensorInode): ViewFile {
    let file = this.#made.get(tensor.nodeid);
    if (file === undefined) {
      const { block, view } = this.#parts;
      file = block.make((nodeid, mtimeMs) => view.file(tensor, nodeid, mtimeMs));
      this.#made.set(tensor.nodeid, file);
    }
    return file;
  }
}

function freeName(children: ReadonlyMap<string, Inode>, stem: string, suffix: string): string {
  for (let nth = 1; ; nth++) {
    const name = separated(stem, nth) + suffix;
    if (!children.has(name)) return name;
  }
}
