/**
 * Builds the inodes of one mount. The root is nodeid 1. The others are numbered without gaps in the order of creation, from 2 or from where
 * an earlier tree of the same mount ended.
 *
 * Names and inodes are columns (folder-entries.ts): a mount of 91,000 tensors makes some 250,000 inodes, and an object for each would cost more
 * than opening the checkpoint. The object of an inode is made when somebody asks for it, and kept: one nodeid is one object.
 *
 * Invariants: a name leads to one inode and never changes; a directory has one name; a file has `nlink` names.
 */
import { MlfsError } from '../errors.ts';
import {
  type DirectoryInode,
  describeFile,
  describeFolder,
  type FileInode,
  type Inode,
  type InodeTree,
  type KnownFile,
  type KnownInode,
  type ListingVisitor,
  type PlainFiles,
  ROOT_NODEID,
  unknownInode,
} from '../inode.ts';
import { ByteColumn, Uint32Column } from './columns.ts';
import { DescribedFile, type FileDescription } from './described-file.ts';
import { FolderEntries } from './folder-entries.ts';
import { type NameColumns, namesIn } from './folder-names.ts';
import { InternedNames } from './interned-names.ts';
import { separated } from './path-names.ts';
import { ReservedBlocks, type ReservedInodes } from './reserved-inodes.ts';
import { RoomRanges } from './room-ranges.ts';
import { folderMode, TableFolder } from './table-folder.ts';

export type { FileDescription } from './described-file.ts';

/** Maximum number of folders in one tree; the largest real models have about 100,000 modules. */
const MAX_FOLDERS = 262_144;

/** A folder by its nodeid, or its object: rooms with thousands of folders make no objects. */
export type Folder = number | DirectoryInode;

/** `subject` is the number that an inode was added with. */
export interface InodeMaker {
  /** Makes the object of an inode. */
  make(nodeid: number, mtimeMs: number, subject: number): FileInode;
  /** Fills in what is known of it without an object. Returns false if that is not enough for an answer. */
  describe?(subject: number, into: KnownFile): boolean;
}

/** Flags of an inode. */
const FOLDER = 1;
const WRITABLE = 2;
/** It has a name in a folder where scratch files can be made. */
const IN_WRITABLE = 4;

export class InodeTable implements InodeTree {
  readonly root: DirectoryInode;
  readonly mtimeMs: number;
  readonly firstNodeid: number;
  plainFiles?: PlainFiles;
  readonly #path: string;
  /** By inode, in the order of the nodeids, the root first. */
  readonly #flags = new ByteColumn();
  /** The parent of a folder, the number of names of a file. */
  readonly #parentOrLinks = new Uint32Column();
  /** The number of a folder in `#entries`; what the maker of a file is told. */
  readonly #subjects = new Uint32Column();
  /** Which maker makes a file's object; 0: there is an object from the start. */
  readonly #makers = new ByteColumn();
  readonly #entries = new FolderEntries();
  readonly #names = new InternedNames();
  /** The nodeids of the folders in `#entries`, and the entries that lead to them. */
  readonly #folderNodeids = new Uint32Column();
  readonly #folderEntries = new Uint32Column();
  readonly #knownMakers: (InodeMaker | undefined)[] = [undefined];
  readonly #objects = new Map<number, Inode>();
  readonly #columns: NameColumns = {
    entries: this.#entries,
    names: this.#names,
    inodeOf: (nodeid) => this.get(nodeid) as Inode,
  };
  readonly #rooms = new RoomRanges();
  #totalBytes = 0;
  /** Folders whose objects were made elsewhere. */
  readonly #foreign: DirectoryInode[] = [];
  /** For `isKnown`. */
  readonly #scratch = unknownInode(ROOT_NODEID);
  /** From the first of them on there are no columns. */
  readonly #reserved = new ReservedBlocks();

  /** `firstNodeid`: an earlier tree of the same mount used the nodeids below it. `path` is the checkpoint's, for messages. */
  constructor(mtimeMs: number, firstNodeid: number = ROOT_NODEID + 1, path = '') {
    this.mtimeMs = mtimeMs;
    this.#path = path;
    this.firstNodeid = firstNodeid;
    this.#addFolder(ROOT_NODEID, ROOT_NODEID, false);
    this.root = this.get(ROOT_NODEID) as DirectoryInode;
  }

  get folderCount(): number {
    return this.#folderNodeids.length;
  }

  get inodeCount(): number {
    return this.#flags.length;
  }

  /** The nodeid of the next inode: the `firstNodeid` of the tree that replaces this one. */
  get nextNodeid(): number {
    return this.firstNodeid + this.#flags.length - 1;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  get(nodeid: number): Inode | undefined {
    return this.#objects.get(nodeid) ?? this.#make(nodeid);
  }

  made(nodeid: number): Inode | undefined {
    return this.#objects.get(nodeid);
  }

  has(nodeid: number): boolean {
    const index = this.#indexOf(nodeid);
    return (
      (this.#flags.at(index) & FOLDER) !== 0 ||
      this.#makers.at(index) !== 0 ||
      this.#objects.has(nodeid) ||
      this.#reserved.has(nodeid)
    );
  }

  roomOf(nodeid: number): string {
    return this.#rooms.of(nodeid);
  }

  isInWritableFolder(nodeid: number): boolean {
    return (this.#flags.at(this.#indexOf(nodeid)) & IN_WRITABLE) !== 0;
  }

  pathOf(nodeid: number): string | undefined {
    if (this.#reserved.has(nodeid)) return this.#reserved.pathOf(nodeid);
    for (let entry = 0; entry < this.#entries.count; entry++) {
      if (this.#entries.nodeidOf(entry) === nodeid) return this.pathOfEntry(entry);
    }
    return undefined;
  }

  *known(visit: (inode: KnownInode) => void): Generator<void> {
    const inode = unknownInode(ROOT_NODEID);
    const end = this.#reserved.first ?? this.nextNodeid;
    const roomOf = this.#rooms.ascending();
    for (let nodeid = this.firstNodeid; nodeid < end; nodeid++) {
      inode.room = roomOf(nodeid);
      if (this.#describe(nodeid, inode)) visit(inode);
      if (nodeid % INODES_A_SLICE === 0) yield;
    }
    for (const { nodeid } of this.#foreign) if (this.#describe(nodeid, inode)) visit(inode);
  }

  *listings(visitor: ListingVisitor): Generator<void> {
    const entries = this.#entries;
    for (let folder = ROOT_FOLDER + 1; folder < this.#folderNodeids.length; folder++) {
      let complete = true;
      for (let entry = entries.first(folder); entry >= 0 && complete; entry = entries.next(entry))
        complete = this.isKnown(entries.nodeidOf(entry));
      visitor.folder(this.#folderNodeids.at(folder), entries.countIn(folder), complete);
      for (let entry = entries.first(folder); entry >= 0; entry = entries.next(entry))
        visitor.entry(this.#names.text(entries.nameOf(entry)), entries.nodeidOf(entry));
      if (folder % FOLDERS_A_SLICE === 0) yield;
    }
  }

  isKnown(nodeid: number): boolean {
    return this.#describe(nodeid, this.#scratch);
  }

  /** Makes a folder at the root. If it is writable, scratch files can be made in it and in the folders below it. */
  room(name: string, writable: boolean): DirectoryInode {
    this.#rooms.begin(this.nextNodeid, name);
    const nodeid = this.#newFolder(this.root.nodeid, writable);
    this.#link(this.root, this.#names.numberOf(name), nodeid);
    return this.get(nodeid) as DirectoryInode;
  }

  /**
   * Returns the folder `name`, and makes it if necessary. An existing file keeps the name. A folder at the root is a room: inodes made after
   * it belong to it.
   */
  folder(parent: Folder, name: string): DirectoryInode {
    return this.get(this.folderIn(parent, name)) as DirectoryInode;
  }

  folderAt(parent: Folder, path: readonly string[]): DirectoryInode {
    return this.get(this.folderBelow(parent, path)) as DirectoryInode;
  }

  /** The nodeid of the folder `name`, which is made if necessary, as `folder` does. */
  folderIn(parent: Folder, name: string): number {
    const above = nodeidOf(parent);
    if (above === ROOT_NODEID) this.#rooms.begin(this.nextNodeid, name);
    const folder = this.#numberOf(above);
    for (let nth = 1; ; nth++) {
      const candidate = this.#names.numberOf(separated(name, nth));
      const there = this.#entries.find(folder, candidate);
      if (there === undefined) {
        const made = this.#newFolder(above, this.isWritable(parent));
        this.#link(parent, candidate, made);
        return made;
      }
      if (this.isFolder(there)) return there;
    }
  }

  folderBelow(parent: Folder, path: readonly string[]): number {
    let folder = nodeidOf(parent);
    for (const name of path) folder = this.folderIn(folder, name);
    return folder;
  }

  /** Reserves nodeids, so that a later tree starts above them. `writable`: the folders that they have names in are. Returns the first. */
  reserve(count: number, inodes: ReservedInodes, writable = false): number {
    const first = this.nextNodeid;
    for (let made = 0; made < count; made++) this.#flags.push(writable ? IN_WRITABLE : 0);
    this.#reserved.add({ first, count, inodes });
    return first;
  }

  /** Says how the objects of some files are made; `insertMade` adds such files. */
  maker(maker: InodeMaker): number {
    return this.#knownMakers.push(maker) - 1;
  }

  /** Makes an inode without a name and without an object. `size` is counted in statfs. Returns its nodeid. */
  insertMade(maker: number, subject: number, size: number): number {
    const nodeid = this.nextNodeid;
    const index = this.#flags.push(0);
    this.#makers.set(index, maker);
    this.#subjects.set(index, subject);
    this.#totalBytes += size;
    return nodeid;
  }

  /** Makes an inode without a name: `link` gives it one. `size` is counted in statfs. */
  insert<T extends FileInode>(make: (nodeid: number, mtimeMs: number) => T, size: number): T {
    const inode = make(this.nextNodeid, this.mtimeMs);
    this.#flags.push(0);
    this.#keep(inode, 0);
    this.#totalBytes += size;
    return inode;
  }

  /** Gives a file another name. The name must be free: `freeStem` finds one. */
  link(parent: Folder, name: string, file: FileInode | number): void {
    if (this.hasName(parent, name)) throw new Error(`two entries are called ${name}`);
    this.linkNamed(parent, this.#names.numberOf(name), file);
  }

  /** The same, by the number of a name that `freeNames` found. */
  linkNamed(parent: Folder, name: number, file: FileInode | number): void {
    const nodeid = typeof file === 'number' ? file : file.nodeid;
    this.#link(parent, name, nodeid);
    const index = this.#indexOf(nodeid);
    this.#parentOrLinks.set(index, this.#parentOrLinks.at(index) + 1);
    const object = this.#makers.at(index) === 0 ? this.#objects.get(nodeid) : undefined;
    if (object?.kind === 'file') object.nlink++;
  }

  /** Gives a name to a folder whose object was made elsewhere. */
  linkFolder(parent: Folder, name: string, folder: DirectoryInode): void {
    this.#link(parent, this.#names.numberOf(name), folder.nodeid);
    this.#foreign.push(folder);
  }

  add(parent: Folder, name: string, description: FileDescription): FileInode {
    if (this.hasName(parent, name)) throw new Error(`two entries are called ${name}`);
    return this.addNamed(parent, this.#names.numberOf(name), description);
  }

  /** The same, by the number of a name that `freeNames` found. */
  addNamed(parent: Folder, name: number, description: FileDescription): FileInode {
    const inode = this.insert(
      (nodeid, mtimeMs) => new DescribedFile(nodeid, mtimeMs, description),
      description.size ?? 0,
    );
    this.linkNamed(parent, name, inode);
    return inode;
  }

  hasName(folder: Folder, name: string): boolean {
    return this.#entries.find(this.#numberOf(nodeidOf(folder)), this.#names.numberOf(name)) !== undefined;
  }

  /** `stem`, or the first of `stem%~2`, `stem%~3`, … for which all of the suffixes are free: the numbers of these names. */
  freeNames(parent: Folder, stem: string, suffixes: readonly string[]): number[] {
    const folder = this.#numberOf(nodeidOf(parent));
    for (let nth = 1; ; nth++) {
      const candidate = this.#names.numberOf(separated(stem, nth));
      const names: number[] = [];
      for (const suffix of suffixes) {
        const name = this.#names.withSuffix(candidate, suffix);
        if (this.#entries.find(folder, name) === undefined) names.push(name);
      }
      if (names.length === suffixes.length) return names;
    }
  }

  /** The number of names of a file. */
  linksOf(nodeid: number): number {
    return this.#parentOrLinks.at(this.#indexOf(nodeid));
  }

  /** Whether scratch files can be made in a folder. */
  isWritable(folder: Folder): boolean {
    if (typeof folder !== 'number') return folder.writable ?? false;
    return (this.#flags.at(this.#indexOf(folder)) & WRITABLE) !== 0;
  }

  isFolder(nodeid: number): boolean {
    return (this.#flags.at(this.#indexOf(nodeid)) & FOLDER) !== 0;
  }

  /** The folder that a folder lies in. */
  parentOf(folder: number): number {
    return this.#parentOrLinks.at(this.#indexOf(folder));
  }

  /** Folders are numbered from 0 in the order in which they were made. */
  numberOf(folder: number): number {
    return this.#numberOf(folder);
  }

  folderWithNumber(number: number): number {
    return this.#folderNodeids.at(number);
  }

  entryCount(folder: number): number {
    return this.#entries.countIn(this.#numberOf(folder));
  }

  /** What a file of this maker was added with; undefined for other inodes. */
  subjectOf(nodeid: number, maker: number): number | undefined {
    const index = this.#indexOf(nodeid);
    return this.#makers.at(index) === maker ? this.#subjects.at(index) : undefined;
  }

  /** Calls `visit` for each entry, folders in the order in which they were made; its number leads to its path. */
  *entries(visit: (entry: number, nodeid: number) => void): Generator<void> {
    for (let entry = 0; entry < this.#entries.count; entry++) {
      visit(entry, this.#entries.nodeidOf(entry));
      if (entry % ENTRIES_A_SLICE === 0) yield;
    }
  }

  pathOfEntry(entry: number): string {
    let path = '';
    for (let at = entry; ; ) {
      path = `/${this.#names.text(this.#entries.nameOf(at))}${path}`;
      const folder = this.#folderNodeids.at(this.#entries.folderOf(at));
      if (folder === ROOT_NODEID) return path;
      at = this.#folderEntries.at(this.#numberOf(folder));
    }
  }

  /** The entries of a folder, without their objects. */
  *childrenOf(folder: number): Generator<readonly [name: string, nodeid: number]> {
    const entries = this.#entries;
    for (let entry = entries.first(this.#numberOf(folder)); entry >= 0; entry = entries.next(entry)) {
      yield [this.#names.text(entries.nameOf(entry)), entries.nodeidOf(entry)];
    }
  }

  #describe(nodeid: number, into: KnownInode): boolean {
    const index = this.#indexOf(nodeid);
    const flags = this.#flags.at(index);
    into.nodeid = nodeid;
    into.asks = false;
    if ((flags & FOLDER) !== 0) {
      describeFolder(folderMode((flags & WRITABLE) !== 0), this.#parentOrLinks.at(index), into);
      return true;
    }
    into.isDirectory = false;
    const maker = this.#knownMakers[this.#makers.at(index)];
    if (maker === undefined) {
      const object = this.#objects.get(nodeid);
      if (object?.kind === 'directory') {
        describeFolder(object.mode, object.parent, into);
        return true;
      }
      // The content of other described files is made when somebody asks for it.
      if (object === undefined || (object instanceof DescribedFile && !object.isCheap)) return false;
      if (!describeFile(object, into)) return false;
    } else if (maker.describe?.(this.#subjects.at(index), into) !== true) return false;
    into.parent = 0;
    into.nlink = this.#parentOrLinks.at(index);
    return true;
  }

  #make(nodeid: number): Inode | undefined {
    const index = this.#indexOf(nodeid);
    const flags = this.#flags.at(index);
    let inode: Inode;
    if ((flags & FOLDER) !== 0) {
      const parent = this.#parentOrLinks.at(index);
      inode = new TableFolder(
        nodeid,
        parent,
        this.mtimeMs,
        (flags & WRITABLE) !== 0,
        namesIn(this.#subjects.at(index), this.#columns),
      );
    } else {
      const maker = this.#knownMakers[this.#makers.at(index)];
      const made =
        maker === undefined
          ? this.#reserved.make(nodeid, this.mtimeMs)
          : maker.make(nodeid, this.mtimeMs, this.#subjects.at(index));
      if (made === undefined) return undefined;
      inode = made;
    }
    this.#objects.set(nodeid, inode);
    return inode;
  }

  #keep(inode: Inode, flags: number): void {
    const index = this.#indexOf(inode.nodeid);
    this.#flags.set(index, flags);
    this.#makers.set(index, 0);
    this.#objects.set(inode.nodeid, inode);
  }

  /** The name must be free: `find` costs too much to be called twice for each of a model's names. */
  #link(parent: Folder, name: number, nodeid: number): void {
    const above = nodeidOf(parent);
    const folder = this.#numberOf(above);
    const entry = this.#entries.add(folder, name, nodeid);
    const index = this.#indexOf(nodeid);
    if (this.isFolder(nodeid)) this.#folderEntries.set(this.#subjects.at(index), entry);
    if (this.isWritable(parent)) this.#flags.set(index, this.#flags.at(index) | IN_WRITABLE);
  }

  /** Throws ERR_MLFS_LIMIT if the checkpoint's names make more folders than any model has modules. */
  #newFolder(parent: number, writable: boolean): number {
    if (this.#folderNodeids.length > MAX_FOLDERS) {
      throw new MlfsError(
        'ERR_MLFS_LIMIT',
        `${this.#path}: its names make more than ${MAX_FOLDERS} folders`,
        {
          path: this.#path,
          advice: 'the library and mlfs ls, cat and info work without folders',
        },
      );
    }
    const nodeid = this.nextNodeid;
    this.#addFolder(nodeid, parent, writable);
    return nodeid;
  }

  #addFolder(nodeid: number, parent: number, writable: boolean): void {
    const index = this.#flags.push(FOLDER | (writable ? WRITABLE : 0));
    this.#parentOrLinks.set(index, parent);
    this.#subjects.set(index, this.#entries.addFolder());
    this.#folderNodeids.push(nodeid);
  }

  /** The number of a folder in `#entries`. */
  #numberOf(nodeid: number): number {
    return this.#subjects.at(this.#indexOf(nodeid));
  }

  #indexOf(nodeid: number): number {
    if (nodeid === ROOT_NODEID) return 0;
    return nodeid < this.firstNodeid ? NOWHERE : nodeid - this.firstNodeid + 1;
  }
}

/** The number of the root in the entries. */
const ROOT_FOLDER = 0;
/** In place of the index of an inode that is not of this tree: all columns have zeros there. */
const NOWHERE = -1;
const ENTRIES_A_SLICE = 4096;
const INODES_A_SLICE = 2048;
const FOLDERS_A_SLICE = 256;

function nodeidOf(folder: Folder): number {
  return typeof folder === 'number' ? folder : folder.nodeid;
}
