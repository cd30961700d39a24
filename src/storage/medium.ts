/**
 * Where durable bytes live: the few operations of a file system that journal, state directory and commit are built from. The real
 * one is `disk-medium.ts`; the crash tests have one that remembers what was synced and forgets, keeps or tears the rest.
 *
 * What is assumed of a medium: bytes of `write` are there for every later `read` of any process; after `sync` they are there after
 * a power loss, and before it each 512-byte sector of them may be there or not; a name made, renamed or removed is durable after
 * `syncDirectory` of its folder; `rename` is atomic.
 */
export interface Medium {
  /** `read` and `write` open what is there (`write` reads too); `create` makes an empty file, mode 0600, and fails if there is one. */
  open(path: string, how: 'read' | 'write' | 'create'): Promise<MediumFile>;
  /** Names in a folder, sorted; none if there is no such folder. */
  list(directory: string): Promise<string[]>;
  /** With its parents; mode 0700. */
  makeDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** A file, or a folder that is empty. */
  remove(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /**
   * The medium for what lies in one folder that must be the caller's own: what another user made, or could change, is ERR_MLFS_ACCESS. A
   * medium that knows no users, as a test's, has no such thing.
   */
  ownFolder?(path: string, options?: OwnFolderOptions): FolderMedium;
}

export interface OwnFolderOptions {
  /** The folder above must be the caller's own, too, and is made with it. */
  readonly ownParent?: boolean;
}

/** A folder is opened when it is first used, and stays the same one whatever becomes of its path, until `close`. */
export interface FolderMedium extends Medium {
  /** A descriptor of a folder in it, which is the caller's to close. Throws ERR_MLFS_NOT_FOUND. */
  openDirectory(path: string): Promise<number>;
  /** Lets go of the descriptor. The next use opens the folder again. */
  close(): Promise<void>;
}

/** All failures are MlfsError: ERR_MLFS_NOT_FOUND, ERR_MLFS_ACCESS, ERR_MLFS_TRUNCATED, else ERR_MLFS_IO with the errno of the cause (ENOSPC stays ENOSPC). */
export interface MediumFile {
  readonly path: string;
  /** For the data plane to duplicate; a test's medium has none. */
  readonly fd: number | undefined;
  size(): Promise<number>;
  /** Exactly `length` bytes. */
  read(offset: number, length: number): Promise<Buffer>;
  /** All pieces one after the other from `offset`, or it throws; then what is there is unknown. */
  write(offset: number, pieces: readonly Uint8Array[]): Promise<void>;
  truncate(size: number): Promise<void>;
  /** fdatasync(2), or fsync(2). */
  sync(options?: SyncOptions): Promise<void>;
  /** Whether its path still leads to it. A medium on which nobody else removes or moves files has no such thing. */
  isInPlace?(): boolean | Promise<boolean>;
  close(): Promise<void>;
}

export interface SyncOptions {
  /** The file's times are durable, too, which costs more. */
  readonly times?: boolean;
}
