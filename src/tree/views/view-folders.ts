import type { Tensor } from '../../checkpoint/tensor.ts';
import {
  type AheadVisitor,
  type DirectoryInode,
  describeFile,
  describeFolder,
  type FileInode,
  type FileRange,
  type Inode,
  type KnownFile,
  unknownInode,
} from '../../inode.ts';
import type { InodeTable } from '../inode-table.ts';
import { separated } from '../path-names.ts';
import { folderMode } from '../table-folder.ts';
import type { NamedByFiles, TensorFiles, TensorInode } from '../tensor-files.ts';
import type { PlainView } from './plain-views.ts';

/** The name and the content of a tensor's file in a view. */
export interface View {
  /** `.npy` */
  readonly suffix: string;
  readonly file: (tensor: TensorInode, nodeid: number, mtimeMs: number) => FileInode;
  /**
   * Fills in what is known of the file without its object; `own` is what is known of the tensor's own file. Returns false if only the object
   * knows it.
   */
  readonly describe: (tensor: NamedByFiles, own: KnownFile, into: KnownFile) => boolean;
  /** Where the file shows these bytes of the tensor's own file, if that is one run of the image; undefined if it shows no bytes. */
  readonly places: (tensor: Tensor, ranges: readonly FileRange[]) => readonly FileRange[] | undefined;
}

const TENSOR_SUFFIX = '.bin';
/** Entries that are told at once, and one folder more: a walk asks JavaScript once for so many, and one answer takes few milliseconds. */
const ENTRIES_AHEAD = 512;

/** A folder of /model in another format. Its object is made when somebody asks for it, and the objects of its children when they are asked for. */
export class ViewFolder implements DirectoryInode {
  readonly kind = 'directory';
  readonly nodeid: number;
  readonly parent: number;
  readonly mode: number;
  readonly mtimeMs: number;
  readonly writable: boolean;
  /** Which folder of /model it shows. */
  readonly #index: number;
  readonly #views: Views;
  #children: Map<string, Inode> | undefined;
  #fixedNames = 0;

  constructor(numbers: { nodeid: number; parent: number; mtimeMs: number }, index: number, views: Views) {
    this.nodeid = numbers.nodeid;
    this.parent = numbers.parent;
    this.mtimeMs = numbers.mtimeMs;
    this.writable = views.writable;
    this.mode = folderMode(views.writable);
    this.#index = index;
    this.#views = views;
  }

  get fixedNames(): number {
    return this.#fixedNames;
  }

  get unmade(): boolean {
    return this.#children === undefined;
  }

  get children(): Map<string, Inode> {
    if (this.#children === undefined) {
      this.#children = this.#views.objectsIn(this.#index);
      this.#fixedNames = this.#children.size;
    }
    return this.#children;
  }

  tellAhead(visitor: AheadVisitor): void {
    this.#views.tell(this.#index, visitor);
  }
}

export interface ViewsParts {
  readonly table: InodeTable;
  readonly files: TensorFiles;
  readonly view: View;
  readonly writable: boolean;
  /** The nodeid of /model, and how many folders it has with itself: they have consecutive numbers. */
  readonly model: number;
  readonly folders: number;
  /** How many tensors have files in /model: the first of all. */
  readonly tensors: number;
  /** The nodeid of the folder in which the view lies, and its path with the view's name. */
  readonly parent: number;
  readonly path: string;
}

/**
 * One view of the whole model: it mirrors the columns of /model, and keeps nothing of its own. Its inodes are numbered like the folders and
 * the tensors of /model: first the folders, in the order in which they were made there, and then the tensors. A tensor with several names is
 * one file here, too.
 */
export class Views implements PlainView {
  readonly #parts: ViewsParts;
  readonly #firstNodeid: number;
  /** The number of /model among the folders of the table. */
  readonly #firstFolder: number;
  /** By folder: 1 if somebody was told of it. */
  readonly #told: Uint8Array;

  constructor(parts: ViewsParts) {
    const { table, folders, tensors, writable } = parts;
    this.#parts = parts;
    this.#firstFolder = table.numberOf(parts.model);
    this.#told = new Uint8Array(folders);
    this.#firstNodeid = table.reserve(
      folders + tensors,
      {
        make: (index, nodeid, mtimeMs) => this.#make(index, nodeid, mtimeMs),
        pathOf: (index) => this.#pathOf(index),
      },
      writable,
    );
  }

  get writable(): boolean {
    return this.#parts.writable;
  }

  /** The view of /model itself. */
  get root(): DirectoryInode {
    return this.#parts.table.get(this.#firstNodeid) as DirectoryInode;
  }

  tensorOf(nodeid: number): number | undefined {
    const { folders, tensors, files } = this.#parts;
    const order = nodeid - this.#firstNodeid - folders;
    return order >= 0 && order < tensors ? files.nodeidAt(order) : undefined;
  }

  shown(tensor: number, ranges: readonly FileRange[]) {
    const { folders, tensors, files, view } = this.#parts;
    const order = files.orderOf(tensor);
    if (order === undefined || order >= tensors) return undefined;
    const places = view.places(files.tensorOfOrder(order), ranges);
    return places && { nodeid: this.#firstNodeid + folders + order, ranges: places };
  }

  /** The entries of a folder, with their objects. */
  objectsIn(folder: number): Map<string, Inode> {
    const children = new Map<string, Inode>();
    for (const [name, index] of this.#entriesOf(folder)) {
      children.set(name, this.#parts.table.get(this.#firstNodeid + index) as Inode);
    }
    return children;
  }

  /** Tells of a folder, and of the folders after it that were not told: mostly those that a walk comes to next. */
  tell(from: number, visitor: AheadVisitor): void {
    const { folders } = this.#parts;
    if (this.#told[from] === 1) return;
    const inode = unknownInode(0);
    const own = unknownInode(0);
    for (let folder = from, left = ENTRIES_AHEAD; folder < folders && left > 0; folder++) {
      if (this.#told[folder] === 1) continue;
      this.#told[folder] = 1;
      const entries = this.#entriesOf(folder);
      for (const index of entries.values()) {
        this.#describe(index, inode, own);
        visitor.inode(inode);
      }
      visitor.folder(this.#firstNodeid + folder, entries.size, true);
      for (const [name, index] of entries) visitor.entry(name, this.#firstNodeid + index);
      left -= entries.size + 1;
    }
  }

  /**
   * The names in a folder and the numbers of their inodes: folders first, and no other file has the name of a folder. Scratch files of the
   * folder of /model are not tensors, and are not in its columns.
   */
  #entriesOf(folder: number): Map<string, number> {
    const { table, files, view, folders } = this.#parts;
    const model = table.folderWithNumber(this.#firstFolder + folder);
    const entries = new Map<string, number>();
    for (const [name, nodeid] of table.childrenOf(model)) {
      if (table.isFolder(nodeid)) entries.set(name, table.numberOf(nodeid) - this.#firstFolder);
    }
    for (const [name, nodeid] of table.childrenOf(model)) {
      const order = name.endsWith(TENSOR_SUFFIX) ? files.orderOf(nodeid) : undefined;
      if (order === undefined) continue;
      entries.set(freeName(entries, name.slice(0, -TENSOR_SUFFIX.length), view.suffix), folders + order);
    }
    return entries;
  }

  #describe(index: number, into: ReturnType<typeof unknownInode>, own: KnownFile): void {
    const { table, files, view, folders } = this.#parts;
    into.nodeid = this.#firstNodeid + index;
    if (index < folders) {
      describeFolder(folderMode(this.writable), this.#parentOf(index), into);
      return;
    }
    into.isDirectory = false;
    into.parent = 0;
    const named = files.knownAt(index - folders, own);
    into.nlink = named.namesTotal;
    if (!view.describe(named, own, into)) describeFile(table.get(into.nodeid) as FileInode, into);
    if (table.plainFiles?.has(into.nodeid) === true) into.follows = false;
  }

  #make(index: number, nodeid: number, mtimeMs: number): Inode {
    const { table, files, view, folders } = this.#parts;
    if (index < folders)
      return new ViewFolder({ nodeid, parent: this.#parentOf(index), mtimeMs }, index, this);
    return view.file(table.get(files.nodeidAt(index - folders)) as TensorInode, nodeid, mtimeMs);
  }

  #parentOf(folder: number): number {
    const { table, parent } = this.#parts;
    if (folder === 0) return parent;
    const above = table.parentOf(table.folderWithNumber(this.#firstFolder + folder));
    return this.#firstNodeid + table.numberOf(above) - this.#firstFolder;
  }

  /** Looks through all folders: for messages only. */
  #pathOf(wanted: number): string | undefined {
    if (wanted === 0) return this.#parts.path;
    for (let folder = 0; folder < this.#parts.folders; folder++) {
      for (const [name, index] of this.#entriesOf(folder)) {
        if (index === wanted) return `${this.#pathOf(folder)}/${name}`;
      }
    }
    return undefined;
  }
}

function freeName(entries: ReadonlyMap<string, number>, stem: string, suffix: string): string {
  for (let nth = 1; ; nth++) {
    const name = separated(stem, nth) + suffix;
    if (!entries.has(name)) return name;
  }
}
