/**
 * The edits of one checkpoint: what makes its image writable, and what becomes of the dirty ranges. Wires together state directory,
 * journal, overlay and checksums.
 */
import type { Checksums } from './checksums.ts';
import type { Image } from './image.ts';
import type { Medium } from './medium.ts';
import type { StateDirectory } from './state-directory.ts';

export interface EditsOptions {
  readonly limitBytes?: number;
}

/** What the storage floor must know of a file's format. */
export interface FileStructure {
  /** Parts that say what the file is: a zip's central directory, a header. */
  readonly identity: readonly { readonly offset: number; readonly length: number }[];
  readonly checksums: Checksums;
}

export interface CommitProgress {
  readonly done: number;
  readonly total: number;
}

export interface CommitOptions {
  readonly onProgress?: (progress: CommitProgress) => void;
  /** Says what would be done and does nothing. */
  readonly dryRun?: boolean;
}

export interface CommitReport {
  /** Dirty bytes and ranges that were (or would be) folded in. */
  readonly bytes: number;
  readonly ranges: number;
  /** Checksum fields that were rewritten. */
  readonly checksums: number;
  readonly milliseconds: number;
}

export interface EditsStatus {
  readonly stateDirectory: string;
  readonly dirtyBytes: number;
  readonly dirtyRanges: number;
  readonly journal: {
    readonly bytes: number;
    readonly segments: number;
    readonly limitBytes: number | null;
    readonly failed: boolean;
  };
  /** Present while one is under way. */
  readonly commit: CommitProgress | null;
}

export class Edits {
  /**
   * To be called before the checkpoint is parsed: takes the lock if there is a state directory, replays its journal and finishes a
   * commit that was interrupted. Throws ERR_MLFS_BUSY, ERR_MLFS_RECOVERY.
   */
  static recover(
    _medium: Medium,
    _checkpointPath: string,
    _state: StateDirectory,
    _options: EditsOptions = {},
  ): Promise<Edits> {
    throw new Error('to be built');
  }

  /** Makes the image writable and gives it the edits that the journal holds. Throws ERR_MLFS_RECOVERY when they are of another file. */
  attach(_image: Image, _structure: FileStructure): Promise<void> {
    throw new Error('to be built');
  }

  get status(): EditsStatus {
    throw new Error('to be built');
  }

  get dirty(): boolean {
    throw new Error('to be built');
  }

  /** Every acknowledged edit is durable when it resolves. */
  flush(): Promise<void> {
    throw new Error('to be built');
  }

  /** Folds the dirty ranges into the checkpoint, checksums included. Throws ERR_MLFS_STALE, ERR_MLFS_ACCESS, ERR_MLFS_IO. */
  commit(_options: CommitOptions = {}): Promise<CommitReport> {
    throw new Error('to be built');
  }

  /** Writes the image with right checksums to a new file, which appears when it is whole; the edits stay as they are. Throws EEXIST. */
  commitTo(_path: string, _options: CommitOptions = {}): Promise<CommitReport> {
    throw new Error('to be built');
  }

  /** Drops every edit that was not committed. Gradients stay. */
  discard(): Promise<CommitReport> {
    throw new Error('to be built');
  }

  /** Ends the updates under way and lets go of the state directory. The image is read-only from here on. */
  close(): Promise<void> {
    throw new Error('to be built');
  }
}
