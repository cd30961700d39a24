import type { ErrnoName } from '../errors.ts';
import type { Extent } from '../storage/extent.ts';
import type { Image } from '../storage/image.ts';
import type { NativeInodes } from './native-inodes.ts';

/**
 * The seam between the transports and what they serve: operations on inodes. The kernel transport decodes wire messages into these calls, and
 * the fuse-native transport resolves paths into them; both encode the results. A refusal is a thrown MlfsError with its errno. Sizes and
 * offsets are safe integers in bytes; times are milliseconds. A byte of a name that is not UTF-8 is a lone surrogate (protocol/name-
 * bytes.ts).
 */
export interface Filesystem {
  lookup(parent: number, name: string, context: RequestContext): MaybePromise<Entry | AbsentEntry>;
  /**
   * The kernel holds its first reference to the inode (or fuse-native remembers a path): it may keep attributes and pages. `counted`: the transport
   * counts its references in the table of `publishIn`, and this may be a further one.
   */
  remember(nodeid: number, counted?: boolean): void;
  /** The kernel holds no reference any more. */
  forget(nodeid: number): void;
  getattr(nodeid: number, context: RequestContext): MaybePromise<AttrReply>;
  setattr(nodeid: number, change: AttrChange, context: RequestContext): MaybePromise<AttrReply>;
  open(nodeid: number, flags: number, context: RequestContext): MaybePromise<OpenReply>;
  /** At most `length` bytes; fewer only at the end of the file. */
  read(
    nodeid: number,
    handle: number,
    offset: number,
    length: number,
    context: RequestContext,
  ): MaybePromise<Uint8Array>;
  /** Returns the number of bytes written. */
  write(
    nodeid: number,
    handle: number,
    offset: number,
    bytes: Uint8Array,
    context: RequestContext,
  ): MaybePromise<number>;
  flush(nodeid: number, handle: number, context: RequestContext): MaybePromise<void>;
  release(nodeid: number, handle: number): MaybePromise<void>;
  fsync(nodeid: number, handle: number, datasync: boolean, context: RequestContext): MaybePromise<void>;
  /** Directory entries in a stable order, `.` and `..` first; `offset` of an entry is its index + 1. */
  readdir(nodeid: number, offset: number, context: RequestContext): MaybePromise<Iterable<DirectoryEntry>>;
  access(nodeid: number, mask: number, context: RequestContext): MaybePromise<void>;
  /** The file system that `nodeid` lies on; the root's if absent. */
  statfs(context: RequestContext, nodeid?: number): MaybePromise<Statfs>;
  getxattr(nodeid: number, name: string, context: RequestContext): MaybePromise<Uint8Array>;
  listxattr(nodeid: number, context: RequestContext): MaybePromise<readonly string[]>;
  /** SEEK_DATA (3) and SEEK_HOLE (4); the kernel handles the others. */
  lseek(
    nodeid: number,
    handle: number,
    offset: number,
    whence: number,
    context: RequestContext,
  ): MaybePromise<number>;
  /** Reserves room for [offset, offset + length); `mode` is fallocate(2)'s. */
  fallocate(
    nodeid: number,
    handle: number,
    range: { readonly offset: number; readonly length: number; readonly mode: number },
    context: RequestContext,
  ): MaybePromise<void>;
  /** When it resolves, everything that was acknowledged is durable: fsync of a directory, syncfs. */
  sync(): MaybePromise<void>;
  /** Makes a scratch file and opens it. */
  create(
    parent: number,
    name: string,
    mode: number,
    flags: number,
    context: RequestContext,
  ): MaybePromise<{ readonly entry: Entry; readonly opened: OpenReply }>;
  /** Makes a scratch file. `mode` includes the file type: only regular files are accepted. */
  mknod(parent: number, name: string, mode: number, context: RequestContext): MaybePromise<Entry>;
  mkdir(parent: number, name: string, mode: number, context: RequestContext): MaybePromise<Entry>;
  unlink(parent: number, name: string, context: RequestContext): MaybePromise<void>;
  rmdir(parent: number, name: string, context: RequestContext): MaybePromise<void>;
  /** `flags` are renameat2(2)'s. */
  rename(
    parent: number,
    name: string,
    newParent: number,
    newName: string,
    flags: number,
    context: RequestContext,
  ): MaybePromise<void>;
  /** Refuses an operation that no mount carries out, and says why. */
  refusal(operation: NeverDone): ErrnoName;
  /** The room of an inode, for the metrics. */
  roomOf?(nodeid: number): string;
  /** Rises whenever a name leads to another inode without the kernel's doing: paths that were remembered are then invalid. */
  readonly namesVersion: number;
  /** Called once by a transport with an inode table, before the first request: puts in what is known. */
  publishIn?(table: NativeInodes): void;
  /** Takes up what that table reports of references: the reports wait in it. Called whenever inodes were forgotten. */
  takeNews?(): void;
  /** Called once by a transport with `nativeWrite`, before the first request. */
  connectWrites?(writes: NativeWrites): void;
  /** The transport carried out a write of an inode, and its image has taken it up. */
  wroteNatively?(nodeid: number, bytes: number): void;
  /**
   * The same for a write that is not answered yet because other inodes may show its bytes. Resolves when they are current, unless waiting
   * could deadlock.
   */
  settleWritten?(nodeid: number): Promise<void>;
  /**
   * Whether nothing else to which the kernel refers shows bytes of a file that is written in place, except the `others` of its `WritesInPlace`. The
   * answer holds until `noneAlone` is called; the transport must use it before it returns to the event loop or awaits anything.
   */
  isWrittenAlone?(nodeid: number): boolean;
  /** Called once by a transport with `notify`, before the first request. */
  connect(notifier: Notifier): void;
}

/** Operations that no mount carries out. */
export type NeverDone = 'link' | 'symlink' | 'tmpfile' | 'setxattr' | 'removexattr';

export type MaybePromise<T> = T | Promise<T>;

/** What the kernel must drop, or believes wrongly. */
export type Invalidation =
  /** Pages and attributes of an inode: the bytes [offset, offset + length), or to the end if length is 0. */
  | { readonly kind: 'pages'; readonly nodeid: number; readonly offset: number; readonly length: number }
  /** A name in a directory, with everything below it. */
  | { readonly kind: 'name'; readonly parent: number; readonly name: string }
  /** The file is longer than the kernel believes after an open with O_TRUNC: these are its last bytes, at `offset`. */
  | { readonly kind: 'end'; readonly nodeid: number; readonly offset: number; readonly bytes: Uint8Array };

/** How a transport with `notify` tells the kernel, on a thread that answers no request. */
export interface Notifier {
  /**
   * Resolves when the kernel has dropped it. Requests that the kernel makes in the meantime must be answered: invalidation.ts says which
   * operations may wait.
   */
  invalidate(invalidations: readonly Invalidation[]): Promise<void>;
}

export interface RequestContext {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Aborted when the kernel sends INTERRUPT for this request or the session ends. */
  readonly signal: AbortSignal;
}

export interface Attr {
  readonly nodeid: number;
  readonly kind: 'file' | 'directory';
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeMs: number;
  /** Default: the mtime. */
  readonly atimeMs?: number;
  /** Default: the mtime. */
  readonly ctimeMs?: number;
  /** The times in nanoseconds, if they are known: they override those in milliseconds. */
  readonly exactTimes?: ExactTimes;
  /** st_blocks, in units of 512 bytes. Default: as many as the size needs. */
  readonly blocks?: number;
}

/** Nanoseconds since 1970, negative before it. */
export interface ExactTimes {
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** A time that a caller sets: the server's clock, or nanoseconds since 1970. */
export type NewTime = 'now' | bigint;

/** How long the kernel may keep an answer without asking again. */
export interface Entry {
  readonly attr: Attr;
  readonly entryTimeoutMs: number;
  readonly attrTimeoutMs: number;
}

/** There is no such name, and there will be none for this time. A transport that cannot express that answers ENOENT. */
export interface AbsentEntry {
  readonly absent: true;
  readonly entryTimeoutMs: number;
}

export interface AttrReply {
  readonly attr: Attr;
  readonly attrTimeoutMs: number;
}

export interface AttrChange {
  readonly size?: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: NewTime;
  readonly atime?: NewTime;
  readonly handle?: number;
}

export interface OpenReply {
  /** 0 if the inode alone is enough: only READ with handle 0 may be answered from published extents. */
  readonly handle: number;
  /**
   * keep: the kernel's pages stay valid across opens. fresh: it drops those of earlier opens. direct: the kernel caches nothing.
   */
  readonly caching: 'keep' | 'fresh' | 'direct';
  /**
   * A descriptor of a file that has the same bytes at the same offsets: a transport may let the kernel read and write it directly. All opens
   * of an inode have one, or none has.
   */
  readonly backing?: number;
  /** Set if a transport with `nativeRead` may answer READ for this inode from these extents alone. */
  readonly extents?: readonly Extent[];
  /** Set if a transport with `nativeWrite` may carry out WRITE of this handle in place, until `revoke` is called. */
  readonly writes?: WritesInPlace;
}

/** A file of fixed size that is one run of an image and is written in place. */
export interface WritesInPlace {
  readonly image: Image;
  /** In the image. */
  readonly offset: number;
  readonly size: number;
  /** Files of the tree that show some of the same bytes: if the kernel refers to one of them, the write is answered after `settleWritten`. */
  readonly others: readonly number[];
}

/** What a transport with `nativeWrite` is told about the handles that it writes. */
export interface NativeWrites {
  /** From now on WRITE of this handle must come to the file system. */
  revoke(handle: number): void;
  /** The kernel is about to get a reference to an inode that may show the same bytes as some of the files. */
  noneAlone(): void;
}

export interface DirectoryEntry {
  readonly name: string;
  /** Pass this to readdir to continue after the entry. */
  readonly offset: number;
  /** `.` and `..` have attributes, too; a transport takes no reference for them. */
  readonly entry: Entry;
  /** Only `kind` of the attributes is known: a transport reports nothing else and takes no reference. */
  readonly nameOnly?: boolean;
}

export interface Statfs {
  readonly blocks: number;
  readonly blocksFree: number;
  /** Free for users other than root. */
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly blockSize: number;
  readonly nameMax: number;
}
