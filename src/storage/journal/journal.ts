/**
 * The write-back journal: numbered segment files of records, each with a CRC-32C. Records are appended, never changed; the bytes of
 * a dirty range stay where they were appended and are read from there. docs/FORMATS.md has the bytes.
 *
 * Invariants:
 * - `append` resolves when the system has the bytes: they survive the death of this process; `sync` makes them survive a power loss.
 * - Sequence numbers rise by one from record to record, across segments.
 * - A record of a batch counts at replay only if the batch's end is there.
 * - After a failed write or sync nothing more is acknowledged until the tail was cut, or written anew.
 */
import type { Medium } from '../medium.ts';
import type { Placement } from '../overlay.ts';

export interface JournalOptions {
  /** ENOSPC beyond it. */
  readonly limitBytes?: number;
  readonly segmentBytes?: number;
}

export interface JournalWrite {
  /** In the image. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** What replay finds, in the order in which it happened; batches are resolved. */
export interface JournalVisitor {
  write(offset: number, length: number, placement: Placement): void;
  /** A commit was decided: everything before it belongs into the base. `note` is what `markCommit` was given. */
  commit(note: string, segment: number): void;
  /** Everything before is void. */
  discard(): void;
}

/** Writes that count at replay together or not at all. */
export interface JournalBatch {
  readonly id: bigint;
}

export interface JournalCounters {
  /** Of all segments, headers included. */
  readonly bytes: number;
  readonly segments: number;
  readonly lastSequence: bigint;
  readonly appendsTotal: number;
  readonly syncsTotal: number;
}

export class Journal {
  /**
   * Opens the journal in `directory`, makes nothing if there is none yet, and replays it. A torn tail is cut off at the last whole record.
   * Throws ERR_MLFS_RECOVERY (naming segment, offset and reason) when a record before the tail is damaged or a segment is missing.
   */
  static open(
    _medium: Medium,
    _directory: string,
    _visitor: JournalVisitor,
    _options: JournalOptions = {},
  ): Promise<Journal> {
    throw new Error('to be built');
  }

  /** The segments could not be trusted any more; cleared by the next call that succeeds. */
  get failed(): boolean {
    throw new Error('to be built');
  }

  get counters(): JournalCounters {
    throw new Error('to be built');
  }

  /** Appends the writes as one run of records and says where each one's bytes are. All or none. Throws ENOSPC, ERR_MLFS_IO. */
  append(_writes: readonly JournalWrite[], _batch?: JournalBatch): Promise<Placement[]> {
    throw new Error('to be built');
  }

  beginBatch(): JournalBatch {
    throw new Error('to be built');
  }

  endBatch(_batch: JournalBatch): Promise<void> {
    throw new Error('to be built');
  }

  /** Durable when it resolves; callers at a time share one sync of the disk. */
  sync(): Promise<void> {
    throw new Error('to be built');
  }

  /** Ends the segment that is being written; later records go to the next. Returns its number, 0 when there is none. */
  rotate(): Promise<number> {
    throw new Error('to be built');
  }

  /** Appends a commit record, syncs, and ends the segment, whose number is returned. */
  markCommit(_note: string): Promise<number> {
    throw new Error('to be built');
  }

  /** Removes the segments up to this one, the oldest first, durably. Their files are closed when their readers are done. */
  dropThrough(_segment: number): Promise<void> {
    throw new Error('to be built');
  }

  /** Makes everything void in one step, durably, and removes it. */
  discard(): Promise<void> {
    throw new Error('to be built');
  }

  close(): Promise<void> {
    throw new Error('to be built');
  }
}
