/**
 * Builds the inodes of one mount. The root is nodeid 1. The others are numbered without gaps in the order of creation, from 2 or from where
 * an earlier tree of the same mount ended. The content of a file is made at its first use, so at mount a model of 20,000 tensors costs 20,000
 * small objects and nothing else.
 *
 * Invariants: a name leads to one inode and never changes; a directory has one name; a file has `nlink` names.
 */
import { MlfsError } from '../errors.ts';
import { type DirectoryInode, type FileInode, type Inode, type InodeTree, ROOT_NODEID } from '../inode.ts';
import type { Content } from '../storage/content.ts';
import { separated } from './path-names.ts';

export interface FileDescription {
  readonly content: () => Content;
  readonly xattrs?: () => ReadonlyMap<string, string>;
  /** Permission bits; 0444 when absent. */
  readonly mode?: number;
  /** The size, if it is known beforehand; counted in statfs. */
  readonly size?: number;
}

/** Maximum number of folders in one tree. A folder takes about 500 bytes; the largest real models have about 100,000 modules. */
const MAX_FOLDERS = 262_144;

/** Nodeids that are reserved for inodes that are made later. */
export interface InodeBlock {
  make<T extends Inode>(create: (nodeid: number, mtimeMs: number) => T): T;
}

export class InodeTable implements InodeTree {
  readonly root: DirectoryInode;
  /** All inodes except the root. */
  readonly #inodes: (Inode | undefined)[] = [];
  readonly #firstNodeid: number;
  readonly #mtimeMs: number;
  /** Inodes from this nodeid on belong to this room, until the next room begins. */
  readonly #rooms: { readonly from: number; readonly name: string }[] = [];
  readonly #path: string;
  #totalBytes = 0;
  #folders = 0;

  /** `firstNodeid`: an earlier tree of the same mount used the nodeids below it. `path` is the checkpoint's, for messages. */
  constructor(mtimeMs: number, firstNodeid: number = ROOT_NODEID + 1, path = '') {
    this.#mtimeMs = mtimeMs;
    this.#path = path;
    this.#firstNodeid = firstNodeid;
    this.root = newDirectory(ROOT_NODEID, ROOT_NODEID, mtimeMs, false);
  }

  get inodeCount(): number {
    return this.#inodes.length + 1;
  }

  /** The nodeid of the next inode: the `firstNodeid` of the tree that replaces this one. */
  get nextNodeid(): number {
    return this.#firstNodeid + this.#inodes.length;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  get(nodeid: number): Inode | undefined {
    return nodeid === ROOT_NODEID ? this.root : this.#inodes[nodeid - this.#firstNodeid];
  }

  roomOf(nodeid: number): string {
    return this.#rooms.findLast(({ from }) => from <= nodeid)?.name ?? '';
  }

  /** Makes a folder at the root. If it is writable, scratch files can be made in it and in the folders below it. */
  room(name: string, writable: boolean): DirectoryInode {
    this.#rooms.push({ from: this.nextNodeid, name });
    const made = this.#newDirectory(this.root.nodeid, writable);
    this.root.children.set(name, made);
    return made;
  }

  /**
   * Returns the folder `name`, and makes it if necessary. An existing file keeps the name. A folder at the root is a room: inodes made after
   * it belong to it.
   */
  folder(parent: DirectoryInode, name: string): DirectoryInode {
    if (parent === this.root) this.#rooms.push({ from: this.nextNodeid, name });
    for (let nth = 1; ; nth++) {
      const candidate = separated(name, nth);
      const there = parent.children.get(candidate);
      if (there?.kind === 'directory') return there;
      if (there === undefined) {
        const made = this.#newDirectory(parent.nodeid, parent.writable ?? false);
        parent.children.set(candidate, made);
        return made;
      }
    }
  }

  folderAt(parent: DirectoryInode, path: readonly string[]): DirectoryInode {
    return path.reduce((folder, name) => this.folder(folder, name), parent);
  }

  /**
   * Reserves nodeids for inodes that are made at their first use, so that a later tree starts above them. Throws if more inodes are made than
   * were reserved.
   */
  reserve(count: number): InodeBlock {
    const first = this.#inodes.length;
    this.#inodes.length += count;
    let made = 0;
    return {
      make: (create) => {
        if (made === count) throw new Error(`more than the ${count} inodes that were reserved`);
        const inode = create(this.#firstNodeid + first + made, this.#mtimeMs);
        this.#inodes[first + made] = inode;
        made++;
        return inode;
      },
    };
  }

  /** Makes an inode without a name: `link` gives it one. `size` is counted in statfs. */
  insert<T extends FileInode>(make: (nodeid: number, mtimeMs: number) => T, size: number): T {
    const inode = make(this.nextNodeid, this.#mtimeMs);
    this.#inodes.push(inode);
    this.#totalBytes += size;
    return inode;
  }

  /** Gives a file another name. The name must be free: `freeStem` finds one. */
  link(parent: DirectoryInode, name: string, inode: FileInode): void {
    if (parent.children.has(name)) throw new Error(`two entries are called ${name}`);
    parent.children.set(name, inode);
    inode.nlink++;
  }

  add(parent: DirectoryInode, name: string, description: FileDescription): FileInode {
    const inode = this.insert(
      (nodeid, mtimeMs) => new DescribedFile(nodeid, mtimeMs, description),
      description.size ?? 0,
    );
    this.link(parent, name, inode);
    return inode;
  }

  /** Throws ERR_MLFS_LIMIT if the checkpoint's names make more folders than any model has modules. */
  #newDirectory(parent: number, writable: boolean): DirectoryInode {
    if (++this.#folders > MAX_FOLDERS) {
      throw new MlfsError(
        'ERR_MLFS_LIMIT',
        `${this.#path}: its names make more than ${MAX_FOLDERS} folders`,
        {
          path: this.#path,
          advice: 'the library and mlfs ls, cat and info work without folders',
        },
      );
    }
    const inode = newDirectory(this.nextNodeid, parent, this.#mtimeMs, writable);
    this.#inodes.push(inode);
    return inode;
  }
}

function newDirectory(nodeid: number, parent: number, mtimeMs: number, writable: boolean): DirectoryInode {
  const mode = writable ? 0o755 : 0o555;
  return { kind: 'directory', nodeid, parent, mode, mtimeMs, children: new Map(), writable };
}

/** `stem`, or the first of `stem%~2`, `stem%~3`, … for which all of the suffixes are free. */
export function freeStem(parent: DirectoryInode, stem: string, suffixes: readonly string[]): string {
  for (let nth = 1; ; nth++) {
    const candidate = separated(stem, nth);
    if (suffixes.every((suffix) => !parent.children.has(candidate + suffix))) return candidate;
  }
}

class DescribedFile implements FileInode {
  readonly kind = 'file';
  readonly nodeid: number;
  readonly mtimeMs: number;
  nlink = 0;
  readonly #description: FileDescription;
  #content: Content | undefined;

  constructor(nodeid: number, mtimeMs: number, description: FileDescription) {
    this.nodeid = nodeid;
    this.mtimeMs = mtimeMs;
    this.#description = description;
  }

  get mode(): number {
    return this.#description.mode ?? 0o444;
  }

  get content(): Content {
    this.#content ??= this.#description.content();
    return this.#content;
  }

  get xattrs(): ReadonlyMap<string, string> {
    return this.#description.xattrs?.() ?? NO_XATTRS;
  }
}

const NO_XATTRS: ReadonlyMap<string, string> = new Map();
