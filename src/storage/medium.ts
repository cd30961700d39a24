/**
 * Where durable bytes live: the few file system operations that journal, state directory and commit need. The real one is `disk-medium.ts`;
 * the crash tests use one that remembers what was synced and forgets, keeps or tears the rest.
 *
 * Assumptions about a medium: bytes of `write` are visible to every later `read` of any process. After `sync` they survive a power loss;
 * without it each 512-byte sector may survive or not. A name that was made, renamed or removed is durable after `syncDirectory` of its
 * folder. `rename` is atomic.
 */
export interface Medium {
  /** `read` and `write` open an existing file (`write` reads, too); `create` makes an empty file with mode 0600 and fails if it exists. */
  open(path: string, how: 'read' | 'write' | 'create'): Promise<MediumFile>;
  /** Names in a folder, sorted; empty if the folder does not exist. */
  list(directory: string): Promise<string[]>;
  /** Makes a folder and its parents, mode 0700. */
  makeDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file or an empty folder. */
  remove(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /**
   * The medium for one folder that must be the caller's own: what another user made, or could change, fails with ERR_MLFS_ACCESS. Absent on
   * a medium without users, such as a test's.
   */
  ownFolder?(path: string, options?: OwnFolderOptions): FolderMedium;
}

export interface OwnFolderOptions {
  /** The folder above must be the caller's own, too, and is made with it. */
  readonly ownParent?: boolean;
}

/** The folder is opened at its first use, and stays the same folder until `close`, even if its path changes. */
export interface FolderMedium extends Medium {
  /** A descriptor of a folder in it, which the caller closes. Throws ERR_MLFS_NOT_FOUND. */
  openDirectory(path: string): Promise<number>;
  /** Closes the descriptor. The next use opens the folder again. */
  close(): Promise<void>;
}

/**
 * All failures are MlfsError: ERR_MLFS_NOT_FOUND, ERR_MLFS_ACCESS, ERR_MLFS_TRUNCATED, otherwise ERR_MLFS_IO with the errno of the cause
 * (ENOSPC stays ENOSPC).
 */
export interface MediumFile {
  readonly path: string;
  /** The descriptor, for the data plane to duplicate; a test's medium has none. */
  readonly fd: number | undefined;
  /**
   * The descriptor for one call of the addon, which duplicates it at once. Throws ERR_MLFS_IO when the file was closed. Absent on a medium that
   * must see every read and write.
   */
  descriptor?(): number;
  size(): Promise<number>;
  /** Reads exactly `length` bytes. */
  read(offset: number, length: number): Promise<Buffer>;
  /** Writes all pieces one after the other from `offset`. If it throws, the contents there are undefined. */
  write(offset: number, pieces: readonly Uint8Array[]): Promise<void>;
  truncate(size: number): Promise<void>;
  /** fdatasync(2), or fsync(2). */
  sync(options?: SyncOptions): Promise<void>;
  /** Whether its path still leads to it. Absent on a medium where nobody else removes or moves files. */
  isInPlace?(): boolean | Promise<boolean>;
  /** The addon's check of the same, for the data plane; absent where looking may wait for another machine. */
  readonly nativePlace?: object | undefined;
  close(): Promise<void>;
}

export interface SyncOptions {
  /** Makes the file's times durable, too, which costs more. */
  readonly times?: boolean;
}
