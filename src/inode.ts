import type { ByteSource } from './storage/byte-source.ts';
import type { Content } from './storage/content.ts';
import type { Image, ImageUpdate } from './storage/image.ts';
import type { DirtyRange } from './storage/overlay.ts';

/** The root directory's nodeid, by FUSE's convention (FUSE_ROOT_ID). */
export const ROOT_NODEID = 1;

/**
 * Scratch inodes have nodeids from here on, and the trees' inodes have lower ones: a later tree starts above all earlier ones. The value fits
 * in 32 bits, the size of an inode number in one of the transports.
 */
export const FIRST_SCRATCH_NODEID = 2 ** 31;

export type Inode = FileInode | DirectoryInode;

interface InodeBase {
  /** Nodeids are assigned from 1 without gaps, and never reused within a mount. */
  readonly nodeid: number;
  /** Permission bits only. */
  readonly mode: number;
  readonly mtimeMs: number;
  /** Attributes in the user.mlfs namespace, such as `user.mlfs.dtype` → `float32`. */
  readonly xattrs?: ReadonlyMap<string, string>;
}

export interface FileInode extends InodeBase {
  readonly kind: 'file';
  /** The number of names: tied tensors are one inode. */
  nlink: number;
  readonly content: Content;
  /** Present on tensors: the bytes of one element with this value; undefined for a text that is not a number of the dtype. */
  readonly element?: (number: string) => Uint8Array | undefined;
  /**
   * Present if the bytes of a replacement are not the content's own bytes (a text that is parsed, a header that may differ): applies them as
   * part of an update. Throws MlfsError with EINVAL and the reason, with line and column; then the update changes nothing.
   */
  readonly replace?: ((staged: ByteSource, update: ImageUpdate) => Promise<void>) | undefined;
}

/** The names in a folder, in the order of its listing. A Map is one, for folders that have few names. */
export interface Children extends Iterable<readonly [name: string, inode: Inode]> {
  readonly size: number;
  get(name: string): Inode | undefined;
  has(name: string): boolean;
  set(name: string, inode: Inode): unknown;
  delete(name: string): boolean;
  keys(): Iterable<string>;
  values(): Iterable<Inode>;
  /**
   * Present if the first `fixed` names never change, and are not held in memory as a list of their own: the names from a place on, which costs
   * as much as is taken of it.
   */
  readonly fixed?: number;
  from?(place: number): Iterable<readonly [name: string, inode: Inode]>;
}

export interface DirectoryInode extends InodeBase {
  readonly kind: 'directory';
  /** nodeid of the parent; the root is its own parent. */
  readonly parent: number;
  readonly children: Children;
  /** True until the first access: asking for the children makes them. Walks that only search skip such a folder. */
  readonly unmade?: boolean;
  /** Whether scratch files can be made here. */
  readonly writable?: boolean;
  /**
   * Of a folder that is filled when somebody asks for its children: says what is in it, and in some of the folders that come after it, without
   * making them. Each folder is told once.
   */
  tellAhead?(visitor: AheadVisitor): void;
  /** How many of the names are the tree's own, which never change; absent where all come and go. */
  readonly fixedNames?: number;
}

/**
 * Files can have any 64-bit number of seconds as a time. A tree shows none beyond this one, of the year 144,683, or as long before 1970: its
 * milliseconds and nanoseconds fit the kernel's messages and the native inode table.
 */
export const LATEST_MS = 2 ** 52;

/** What is known of an inode before anybody asks for it. */
export interface KnownInode {
  nodeid: number;
  isDirectory: boolean;
  /** Permission bits. */
  mode: number;
  nlink: number;
  size: number;
  /** The nodeid of a directory's parent. */
  parent: number;
  /** All bytes of the file are one run of this image, at `offset`. */
  image: Image | undefined;
  offset: number;
  /** Reading it needs neither a handle nor extents that are published at the open. */
  readable: boolean;
  /** Its pages and attributes may have to be dropped when bytes of an image change, and `PlainFiles` does not know it. */
  follows: boolean;
  hasXattrs: boolean;
  /** A document: its size is known when it was made, so the kernel asks each time. */
  asks: boolean;
  room: string;
}

/** What is known of files: all but what a tree knows of inodes. */
export type KnownFile = Omit<KnownInode, 'nodeid' | 'isDirectory' | 'nlink' | 'parent' | 'room'>;

/** Fills in what the object of a file says. Returns false if its size changes by itself, or is not known yet. */
export function describeFile(inode: FileInode, into: KnownFile): boolean {
  const { content } = inode;
  into.image = undefined;
  into.offset = 0;
  into.hasXattrs = inode.xattrs !== undefined;
  into.asks = false;
  into.mode = inode.mode;
  if (content.kind === 'stored') {
    into.size = content.size();
    into.readable = true;
    into.follows = false;
    return true;
  }
  if (content.kind === 'snapshot' && content.source !== undefined) {
    into.size = content.knownSize?.() ?? 0;
    into.readable = false;
    into.follows = true;
    into.asks = true;
    return true;
  }
  if (content.kind !== 'extents' && content.kind !== 'rendered') return false;
  if (content.layout?.done === false) return false;
  into.size = content.size;
  // The extents are published at the open.
  into.readable = content.kind === 'rendered' || content.size === 0;
  into.follows = true;
  return true;
}

export function describeFolder(mode: number, parent: number, into: KnownInode): void {
  into.isDirectory = true;
  into.mode = mode;
  into.parent = parent;
  into.nlink = DIRECTORY_LINKS;
  into.size = 0;
  into.image = undefined;
  into.offset = 0;
  into.readable = false;
  into.follows = false;
  into.hasXattrs = false;
  into.asks = false;
}

/** "Subdirectories are not counted", as in btrfs: `find` then looks at each entry's type instead. */
export const DIRECTORY_LINKS = 1;

/** Nothing is known yet. */
export function unknownInode(nodeid: number): KnownInode {
  return {
    nodeid,
    isDirectory: false,
    mode: 0,
    nlink: 0,
    size: 0,
    parent: 0,
    image: undefined,
    offset: 0,
    readable: false,
    follows: false,
    hasXattrs: false,
    asks: false,
    room: '',
  };
}

/** The files of a tree whose bytes are one run of an image, as they are: they are found without an object for each. */
export interface PlainFiles {
  has(nodeid: number): boolean;
  /** The files that show any of these bytes, and which of their own bytes these are. The ranges must be ascending. */
  overlapping(
    image: Image,
    ranges: readonly DirtyRange[],
  ): Iterable<{ readonly nodeid: number; readonly ranges: readonly FileRange[] }>;
}

/** A run of a file. */
export interface FileRange {
  readonly offset: number;
  /** 0 means to the end of the file. */
  readonly length: number;
}

export interface ListingVisitor {
  /** A folder, how many entries it has, and whether all of them are known. */
  folder(nodeid: number, count: number, complete: boolean): void;
  /** The next entry of the folder. */
  entry(name: string, nodeid: number): void;
}

/** The argument of `inode` is used again for the next. Whoever is told of a folder's entries was told of their inodes. */
export interface AheadVisitor extends Pick<ListingVisitor, 'folder' | 'entry'> {
  inode(known: KnownInode): void;
}

/** The inodes of one mount. */
export interface InodeTree {
  readonly root: DirectoryInode;
  get(nodeid: number): Inode | undefined;
  /** The object of an inode, if somebody has asked for it. */
  made(nodeid: number): Inode | undefined;
  /** Whether there is such an inode; its object is not made. */
  has(nodeid: number): boolean;
  /** Every nodeid except the root's is at least this. */
  readonly firstNodeid: number;
  /** The mtime of every inode that was made with the tree. */
  readonly mtimeMs: number;
  readonly inodeCount: number;
  /** Above every nodeid of this tree except the root's: a later tree may begin here. */
  readonly nextNodeid: number;
  /** The room that an inode of this tree was made for. An inode with names in several rooms belongs to one of them. */
  roomOf(nodeid: number): string;
  /** Whether an inode of this tree has a name in a folder where scratch files can be made. */
  isInWritableFolder(nodeid: number): boolean;
  /** Calls `visit` for every inode whose answers are known, except the root. The argument is used again for the next. */
  known(visit: (inode: KnownInode) => void): Generator<void>;
  /** Visits every folder that was made with the tree, except the root, each with its entries. */
  listings(visitor: ListingVisitor): Generator<void>;
  /** Whether `known` visits this inode. */
  isKnown(nodeid: number): boolean;
  readonly plainFiles?: PlainFiles;
  /** The path of an inode by the first of its names; undefined if it is not of this tree, or was made later. */
  pathOf(nodeid: number): string | undefined;
  /** Sum of the file sizes that are fixed, in bytes, for statfs. */
  readonly totalBytes: number;
}
