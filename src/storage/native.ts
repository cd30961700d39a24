import { createRequire } from 'node:module';
import { join } from 'node:path';
import { messageOf } from '../errors.ts';
import { PACKAGE_FOLDER } from '../own-package.ts';
import type { FileRun } from './file-run.ts';

/**
 * The addon in native/, typed: everything that moves bulk bytes without JavaScript. Where it was not built, `loadNative` returns undefined,
 * `nativeLoadError` says why, and the fuse-native transport serves instead.
 */
export interface NativeAddon {
  /** mount(2) of a new /dev/fuse: returns the descriptor of the device. Throws an Error with `errno`. */
  mountDirectly(options: NativeMountOptions): number;
  /** The same through the setuid program `fusermount3`, which passes the descriptor over a socket. */
  mountWithFusermount(options: NativeMountOptions, program: string): number;
  /**
   * For tests: descriptors of a socket in the place of a FUSE device, and of its other end, where a test plays the kernel. The other end does
   * not block.
   */
  fakeDevice(): [device: number, kernel: number];
  /** Drops clean cached pages of an open file; length 0 means to its end. Throws an Error with `errno`. */
  evictFromPageCache(fd: number, offsetBytes: number, lengthBytes: number): void;
  /** Reads what is in the page cache into `buffer`, without waiting: the number of bytes, or -1 when it would wait for the disk. */
  readIfCached(fd: number, buffer: Uint8Array, offsetBytes: number): number;
  /** CRC-32C (Castagnoli) of bytes, continuing from the CRC of the bytes before; uses the processor's instruction where it has one. */
  crc32c(bytes: Uint8Array, previous: number): number;
  /** flock(LOCK_EX | LOCK_NB), or LOCK_SH, of a descriptor: false when another process holds the lock. Throws an Error with `errno`. */
  tryLock(fd: number, shared: boolean): boolean;
  /**
   * utimensat(2) of what a descriptor, even one opened with O_PATH, leads to. Seconds since 1970 may be negative; the nanoseconds may be
   * UTIME_NOW or UTIME_OMIT. Rejects with an Error with `errno`.
   */
  setTimes(
    fd: number,
    accessedSeconds: number,
    accessedNanoseconds: number,
    modifiedSeconds: number,
    modifiedNanoseconds: number,
  ): Promise<void>;
  /** Makes a file share the blocks of another, like cp --reflink. Rejects with an Error with `errno` where that is impossible. */
  cloneFile(fromFd: number, toFd: number): Promise<void>;
  /**
   * Copies bytes to the same offset of another file, inside the kernel. Returns how many, 0 at the end. Rejects with an Error with `errno`.
   */
  copyFileBytes(fromFd: number, toFd: number, offsetBytes: number, lengthBytes: number): Promise<number>;
  /**
   * The whole records of a journal segment from `fromBytes` on, before `toBytes`: at most `records`, ending when `bytes` were taken or where the
   * record with sequence number `stopSequence` is to come. Ends before a record that is not whole or cannot be read. `rows` has the numbers of
   * each record that `ROW` of journal/record-scan.ts names; `end` is the offset after the last one. Rejects with an Error with `errno`.
   */
  scanRecords(
    fd: number,
    fromBytes: number,
    toBytes: number,
    records: number,
    bytes: number,
    stopSequence: number,
  ): Promise<{ readonly rows: Float64Array; readonly end: number }>;
  /**
   * Copies runs of other files into a file. `runs`: (index in `fromFds`, offset there, offset in `toFd`, length) for each. Rejects with an Error
   * with `errno`, ENODATA where a file ends within a run; then some of the runs may be copied.
   */
  copyRuns(toFd: number, fromFds: Int32Array, runs: Float64Array): Promise<void>;
  /**
   * The XOR of the CRC-32 of a range of `toFd` and of the same range with such runs in their places, for each group of runs. `groups` has a number
   * for each run: equal ones that follow each other are a group, its runs ascend, and its range extends from the first to the last. Writes nothing.
   * Rejects like `copyRuns`.
   */
  crc32Differences(
    toFd: number,
    fromFds: Int32Array,
    runs: Float64Array,
    groups: Float64Array,
  ): Promise<Uint32Array>;
  /** Whether the elements of a dtype are numbers, which the functions below require. */
  isNumber(dtype: string): boolean;
  /**
   * Formats elements as text, `columns` a line. With `outer` (the sizes of the dimensions before the last two) each slice of `rows` lines
   * begins with a comment that names it. The bytes must not change meanwhile.
   */
  renderElements(
    dtype: string,
    bytes: Uint8Array,
    columns: number,
    separator: string,
    outer: readonly number[],
    rows: number,
  ): Promise<Buffer>;
  /** Parses text into `elements` until it is full; resolves with an error in the text, if any. */
  parseElements(
    dtype: string,
    text: Uint8Array,
    elements: Uint8Array,
    columns: number,
    separator: string,
  ): Promise<{ readonly line: number; readonly column: number; readonly reason: string } | undefined>;
  /**
   * Checks that names still lead to certain files and folders. `numbers` holds device and inode for each path, one after the other. Links
   * are not followed.
   */
  readonly FilePlace: new (
    paths: readonly string[],
    numbers: Float64Array,
  ) => { isInPlace(): boolean };
  /**
   * Maps a range of a file, guarded against truncation. `intent` is 0 for none, 1 sequential, 2 random, 3 willNeed. With `privateCopy` pages that
   * are written are copies. Throws an Error with `errno`; ENODATA if the file ends before the range does.
   */
  readonly Mapping: new (
    fd: number,
    offsetBytes: number,
    lengthBytes: number,
    intent: number,
    privateCopy: boolean,
  ) => NativeMapping;
  /**
   * Mounts an EROFS image over a checkpoint, attached to no path, and returns a descriptor (O_PATH) of its root: it ends with the last
   * descriptor. The arguments are those of NativeKernelView.attach. Rejects with the step that failed and `errno`.
   */
  mountView(
    checkpointFd: number,
    checkpointBytes: number,
    image: Uint8Array,
    copies: Float64Array,
    begins: Float64Array,
  ): Promise<number>;
  /** `plain`: use no instructions that only some processors have. For tests. */
  readonly Statistics: new (
    dtype: string,
    plain?: boolean,
  ) => NativeStatistics;
  /** The same for two tensors. */
  readonly Distance: new (
    dtype: string,
    plain?: boolean,
  ) => NativeDistance;
  /**
   * Counts the NaN and infinities of several blocks: two numbers for each. One call for many small tensors costs one change of threads. A rejection
   * has the `index` of the block that it concerns.
   */
  findNonFinite(dtypes: readonly string[], sources: readonly NativeSource[]): Promise<Float64Array>;
  readonly Session: new (device: number, options: NativeSessionOptions) => NativeSession;
}

export interface NativeMountOptions {
  readonly mountpoint: string;
  readonly fsname: string;
  readonly readOnly: boolean;
  readonly allowOther: boolean;
  readonly defaultPermissions: boolean;
}

export interface NativeSessionOptions {
  readonly threads: number;
  readonly maxWriteBytes: number;
  /** Serves a lone reader of small blocks from its own processor (native/near_server.h). */
  readonly nearServer: boolean;
  /**
   * Every request becomes a message, and replies are compared with what the inode table says: counters native_answers_compared_total and
   * native_answer_differences_total, and `takeDifferences`.
   */
  readonly compare?: boolean;
}

/**
 * The bytes of a block: in memory, where they must not change meanwhile, or a run of a file. Work on a run rejects with an Error with `errno`, or
 * without one if the file ends before the run.
 */
export type NativeSource = Uint8Array | FileRun;

/** Statistics of one tensor, block by block; `block` is its number in the tensor's order. Blocks are whole elements. */
export interface NativeStatistics {
  add(block: number, source: NativeSource): Promise<void>;
  result(): {
    readonly count: number;
    readonly zeros: number;
    readonly nans: number;
    readonly infs: number;
    /** Over the finite elements, if there are any. `min` and `max` of 64-bit integers are bigints. */
    readonly min: number | bigint;
    readonly max: number | bigint;
    readonly mean: number;
    readonly std: number;
    readonly sum: number;
    readonly sumOfSquares: number;
    readonly norm: number;
    /** Triples of from, to and count. */
    readonly histogram: Float64Array;
  };
}

/** The distance of two tensors, block by block, as in NativeStatistics. */
export interface NativeDistance {
  /** Adds a block of both. A rejection has `second`: whether it concerns `b`. */
  add(block: number, a: NativeSource, b: NativeSource): Promise<void>;
  /** `elementsTotal`: the number that the mean is of. */
  result(elementsTotal: number): {
    readonly elements: number;
    readonly bytes: number;
    readonly becameNonFinite: number;
    readonly becameFinite: number;
    readonly stayedNonFinite: number;
    readonly beyondDouble: number;
    /** Elements that differ and have a distance; without any, `max`, `mean` and `relative` mean nothing. */
    readonly measured: number;
    /** A bigint for 64-bit integers. */
    readonly max: number | bigint;
    readonly mean: number;
    readonly relative: number | null;
  };
}

/** The session threads of one mount. Takes ownership of the device descriptor. */
export interface NativeSession extends NativeInodeTable {
  /**
   * `onNotified` gets the number of a notification and 0 or an errno. `onEnd` is called once, last, with 0 after an unmount or an errno.
   * `onForgotten` gets inodes with TELL, and withdrawn ones, when the kernel has dropped the last reference. By the time of the call it may hold
   * new ones: `references` says so. `onLane` gets the inode and the reply of a write that was carried out and is to be answered, and the file of
   * a lane that has its first write since `takeWrites`, or whose running write ended after `closeLane`.
   */
  start(
    onMessage: (message: Buffer) => void,
    onNotified: (number: number, errno: number) => void,
    onEnd: (errno: number) => void,
    onForgotten?: (nodeids: Float64Array) => void,
    onLane?: (event: 'written' | 'logged' | 'idle', number: number, reply: Uint8Array) => void,
  ): void;
  /** Sends one whole reply; returns 0 or an errno (ENOENT: the request was aborted). */
  reply(message: Uint8Array): number;
  /** Sends a notification after those before it, on a thread that answers no requests. Must not be called after the end. */
  notify(number: number, message: Uint8Array): void;
  /**
   * Registers a file that the kernel may read and write by itself. Returns an id for replies to OPEN and CREATE, or a negative errno. The
   * descriptor may be closed then.
   */
  openBacking(fd: number): number;
  closeBacking(id: number): void;
  /** Duplicates the descriptor and returns the index by which extents and pieces name the file. */
  addFile(fd: number, sizeBytes: number): number;
  /** Closes the duplicate when no reader holds it. Nothing published may refer to it. */
  removeFile(file: number): void;
  /** `chunks`: (index, count, then count times start, end, file, offset) of an image's overlay. Each READ sees all of them switched or none. */
  switchOverlay(file: number, chunks: Float64Array): void;
  /**
   * `extents`: (file, offset, length) triples; file -1 is a run of `inline`, -2 is computed: a READ that touches it becomes a message. READ
   * of `nodeid` without a handle is answered natively from now on, and counted for the room (0–15).
   */
  publish(nodeid: number, extents: Float64Array, inline: Uint8Array, room: number): void;
  withdraw(nodeid: number): void;
  /**
   * WRITEs of this handle go to `size` bytes at `offset` of the image, and are carried out natively while its lane is open. A write is answered at
   * once if the grant is alone and the kernel refers to none of the `others`.
   */
  grantWrites(
    handle: number,
    nodeid: number,
    offset: number,
    size: number,
    file: number,
    others: Uint32Array,
    alone: boolean,
  ): void;
  revokeWrites(handle: number): void;
  /** No grant is alone any more. */
  noWritesAlone(): void;
  writesAlone(handle: number): void;
  /**
   * Opens the lane of an image that has grants. `place`: a FilePlace of the segment. `numbers`: offset and sequence number of the next record, the
   * last durable sequence number, and how many bytes may be appended.
   */
  openLane(file: number, segment: number, place: object, numbers: Float64Array): void;
  /** No write begins any more. False if one is running: `onLane` tells when it is over. */
  closeLane(file: number): boolean;
  laneDurable(file: number, sequence: number): void;
  /**
   * The writes since the last call, if any: 1 if a write failed and left bytes behind the last record, the number of writes, then nodeid, bytes,
   * time in milliseconds and number of runs of each, then start, end, offset in the segment and difference of the CRC-32 of each run.
   */
  takeWrites(file: number): Float64Array | undefined;
  /** What was taken is in effect: attributes may be shown natively again. */
  writesApplied(file: number): void;
  /** The lane must be closed, and without grants. */
  removeLane(file: number): void;
  /**
   * OPENs for reading of the inodes from `first` to before `end` wait for a kernel view. The first call must come before `start`, because all
   * opens are counted from then on.
   */
  expectView(first: number, end: number): NativeKernelView;
  /** Sentences about the first differences since the last call, with `compare`. */
  takeDifferences(): string[];
  counters(): Record<string, number>;
  readTally(): NativeReadTally;
  /** Ends the threads if they are still running, and closes every descriptor. Nothing else may be called afterwards. */
  close(): void;
}

/** The kernel view of one tree (native/view_opens.h). */
export interface NativeKernelView {
  /** Which inodes are in the view; OPENs of the others wait no longer. */
  select(nodeids: Uint32Array): void;
  /**
   * Attaches the view, in a thread, and serves the selected inodes from it at once. `copies`: (offset in the image, offset in the checkpoint,
   * length) triples. `begins`: where the image's devices begin in the checkpoint. Rejects with the step that failed and `errno`; then the
   * view has ended.
   */
  attach(
    checkpointFd: number,
    checkpointBytes: number,
    image: Uint8Array,
    copies: Float64Array,
    begins: Float64Array,
  ): Promise<void>;
  /** No OPEN waits any more: the data plane serves until the view is attached. */
  stopWaiting(): void;
  /** While suspended, files that are not open yet are served by the data plane. */
  suspend(suspended: boolean): void;
  /** The data plane serves files that are not open yet, and no OPEN waits. Files that are open stay open. */
  end(): void;
}

/** How many numbers `addInodes` takes for each inode. */
export const INODE_FIELDS = 11;

/** Flags of an inode in the table. */
export const INODE = {
  /** OPEN with O_RDONLY needs no handle, and the kernel keeps the pages. READ is answered from the row's file, or from what was published. */
  READABLE: 1,
  /** `takeRemembered` and `onForgotten` report the first and the last reference; the last one also of withdrawn rows and of published extents. */
  TELL: 2,
  /** There are no attributes in the namespace `user.`. */
  NO_XATTRS: 4,
  /**
   * The attributes change by themselves: LOOKUP and listings show those of the row, for no time, and GETATTR becomes a message. A document, for
   * example, whose size is known when it was made.
   */
  ASK: 8,
} as const;

/** Flags of a folder's listing. */
export const LISTING = {
  /** A name that is not in it does not exist, and READDIR is answered from it if every entry has a row. */
  COMPLETE: 1,
  /** The kernel may remember that a name does not exist. */
  ABSENCE_LASTS: 2,
} as const;

/**
 * The inodes of the tree, from which session threads answer requests about names, attributes and opens (native/inode_table.h). What is not in
 * it, or was withdrawn, becomes a message. Nodeids must be below 2^28. Every function checks its numbers and throws a RangeError.
 */
export interface NativeInodeTable {
  /**
   * INODE_FIELDS numbers for each inode: nodeid, mode with the type, nlink, size, seconds and nanoseconds of mtime, parent (of a folder,
   * otherwise 0), flags of INODE, room (0–15), file of `addFile` or -1, offset in that file. Adding an inode again replaces the row, drops what
   * `changeInode` said, ends a withdrawal, and keeps the references. Requests are answered after `setTreeDefaults`.
   */
  addInodes(rows: Float64Array): void;
  /**
   * From now on these attributes are shown. `mode`: the type is ignored. `times`: seconds and nanoseconds of atime, mtime and ctime. The bytes
   * that READ shows stay those of the row. Returns false if there is no row.
   */
  changeInode(
    nodeid: number,
    mode: number,
    uid: number,
    gid: number,
    size: number,
    times: Float64Array,
  ): boolean;
  /** Requests about these inodes become messages from now on, except FORGET: their references are still counted here. */
  withdrawInodes(nodeids: Float64Array): void;
  /**
   * Replaces listings. `folders`, one after the other: nodeid, flags of LISTING, number of entries, then for each entry nodeid, offset and
   * length of the name in bytes. `names`: the bytes of all names. Offsets ascend from 3; those of `.` and `..` are 1 and 2.
   */
  publishListings(folders: Float64Array, names: Uint8Array): void;
  withdrawListing(nodeid: number): void;
  /** Counts a reference that a reply of JavaScript gives. Returns false if the inode never had a row: the caller counts. */
  addReference(nodeid: number): boolean;
  /** Takes references back. Reports nothing: the caller asks `references`. Returns false if the inode never had a row. */
  dropReferences(nodeid: number, count: number): boolean;
  references(nodeid: number): number;
  /** The inodes with TELL that session threads gave a first reference since the last call. */
  takeRemembered(): Float64Array;
  setTreeDefaults(defaults: NativeTreeDefaults): void;
  /** The body of the reply to STATFS, if it never changes. After `setTreeDefaults`. */
  setStatfs(body: Uint8Array | undefined): void;
  /** Drops rows, listings and references of a range: no request names them any more. */
  withdrawAll(firstNodeid: number, count: number): void;
  /** Files that session threads opened less those that they released, by room. A file can be opened by one plane and released by the other. */
  openFilesByRoom(): Float64Array;
}

export interface NativeTreeDefaults {
  /** The owner of every inode without a change. */
  readonly uid: number;
  readonly gid: number;
  readonly readOnly: boolean;
  /** How long the kernel may keep names and attributes. */
  readonly keepMs: number;
  /** Whether NO_OPENDIR_SUPPORT was agreed. While it is unknown OPENDIR becomes a message. */
  readonly noOpendir?: boolean;
}

/** Counters of the READs that were answered natively. */
export interface NativeReadTally {
  /** Durations in seconds. */
  readonly bounds: readonly number[];
  readonly rooms: readonly {
    readonly bytes: number;
    /** Sum of all durations. */
    readonly seconds: number;
    /** Number of READs in each class of duration; the last class is for everything beyond the last bound. */
    readonly durations: readonly number[];
  }[];
}

/** A mapped range of a file. It ends when it is closed, or when this and its buffer are both collected. */
export interface NativeMapping {
  /** The bytes themselves; to be called once. Throws an Error with `noExternalBuffers` where the engine takes no memory from outside. */
  buffer(): ArrayBuffer;
  /** Whether bytes were gone at some time, as far as anybody noticed. False after `close`. */
  torn(): boolean;
  /** Detaches the buffer and releases the memory. */
  close(): void;
}

/** Where `native/build.mjs` puts it, in the package. */
const ADDON = 'native/build/Release/mlfs_native.node';

let loaded: { addon?: NativeAddon; error?: string } | undefined;

/** The addon, or undefined with the reason in `nativeLoadError()`. */
export function loadNative(): NativeAddon | undefined {
  if (loaded === undefined) {
    try {
      const require = createRequire(import.meta.url);
      loaded = { addon: require(join(PACKAGE_FOLDER, ADDON)) as NativeAddon };
    } catch (error) {
      loaded = { error: messageOf(error).split('\n')[0] ?? '' };
    }
  }
  return loaded.addon;
}

/** Why `loadNative` returned undefined. */
export function nativeLoadError(): string | undefined {
  loadNative();
  return loaded?.error;
}
