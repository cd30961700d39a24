/**
 * The write-back journal: numbered segment files of records, each with a CRC-32C. Records are appended, never changed; the bytes of
 * a dirty range stay where they were appended and are read from there. docs/FORMATS.md has the bytes.
 *
 * Invariants:
 * - `append` resolves when the system has the bytes: they survive the death of this process; `sync` makes them survive a power loss.
 * - Sequence numbers rise by one from record to record, across segments. Each record tells up to where the journal was durable.
 * - A record of a batch counts at replay only if the batch's end is there.
 * - Nothing is acknowledged when the segment that it went to is not at its path any more: somebody removed or moved the folder.
 * - After a failed write nothing more is acknowledged until the tail was cut; after a failed sync, until everything that was not
 *   durable was rewritten into a segment of its own. The kernel reports a failed sync once and forgets it: to sync again proves nothing.
 */
import { MlfsError } from '../../errors.ts';
import { CoalescedRuns } from '../coalesced-runs.ts';
import type { Medium } from '../medium.ts';
import { Mutex } from '../mutex.ts';
import type { Placement } from '../overlay.ts';
import { KIND, RECORD_HEADER_BYTES } from './record.ts';
import { type JournalBatch, type NewRecord, RecordLog } from './record-log.ts';
import { type JournalVisitor, replay } from './replay.ts';
import type { MovedRecords } from './rewrite-poisoned.ts';
import { isGone } from './segments.ts';

export type { JournalBatch } from './record-log.ts';
export type { JournalVisitor } from './replay.ts';

export interface JournalOptions {
  /** ENOSPC beyond it. */
  readonly limitBytes?: number | undefined;
  readonly segmentBytes?: number;
  /**
   * Records were rewritten into another segment after a sync failed. Their old placements can be read for as long as the
   * kernel keeps the pages, which it need not: whoever holds them takes the new ones, at once.
   */
  readonly onMoved?: (moved: readonly MovedRecords[]) => void;
}

export interface JournalWrite {
  /** In the image. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface AppendOptions {
  /** For records that are rewritten so that others can go: the room they take is given back at once. */
  readonly beyondLimit?: boolean;
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
  readonly #directory: string;
  readonly #options: JournalOptions;
  readonly #log: RecordLog;
  /** Guards appends and whatever else changes the segments. */
  readonly #mutex = new Mutex();
  readonly #syncRuns = new CoalescedRuns(() => this.#syncNow());
  #batchesTotal = 0n;
  #appendsTotal = 0;
  #closing: Promise<void> | undefined;
  /** Bytes of a torn tail that were cut off when it was opened. */
  readonly tornBytes: number;

  private constructor(medium: Medium, directory: string, options: JournalOptions, tornBytes: number) {
    this.#directory = directory;
    this.#options = options;
    this.#log = new RecordLog(medium, directory, options);
    this.tornBytes = tornBytes;
  }

  /**
   * Opens the journal in `directory`, makes nothing if there is none yet, and replays it. A torn tail is cut off at the last whole record.
   * Throws ERR_MLFS_RECOVERY (naming segment, offset and reason) when a record before the tail is damaged or a segment is missing.
   */
  static async open(
    medium: Medium,
    directory: string,
    visitor: JournalVisitor,
    options: JournalOptions = {},
  ): Promise<Journal> {
    const replayed = await replay(medium, directory, 'write', visitor);
    const journal = new Journal(medium, directory, options, replayed.tornBytes);
    try {
      await journal.#log.takeOver(replayed);
    } catch (cause) {
      for (const { file } of replayed.segments) await file.close();
      throw cause;
    }
    return journal;
  }

  /** Nothing is acknowledged at the moment; cleared by the next call that succeeds. */
  get failed(): boolean {
    return this.#log.failed;
  }

  /** Whether the segments were found to be gone from their folder when somebody last wrote or synced. */
  get vanished(): boolean {
    return this.#log.vanished;
  }

  get counters(): JournalCounters {
    return {
      bytes: this.#log.segments.bytes,
      segments: this.#log.segments.count,
      lastSequence: BigInt(this.#log.lastSequence),
      appendsTotal: this.#appendsTotal,
      syncsTotal: this.#log.syncsTotal,
    };
  }

  /** Appends the writes as one run of records and says where each one's bytes are. All or none. Throws ENOSPC, ERR_MLFS_IO. */
  append(
    writes: readonly JournalWrite[],
    batch?: JournalBatch,
    { beyondLimit = false }: AppendOptions = {},
  ): Promise<Placement[]> {
    return this.#exclusively(async () => {
      if (writes.length === 0) return [];
      const records = writes.map(({ offset, bytes }) => ({ kind: KIND.write, offset, payload: bytes }));
      if (!beyondLimit) this.#refuseBeyondLimit(records);
      const { segment, start } = await this.#log.write(records, batch);
      this.#appendsTotal++;
      let at = start;
      return records.map(({ payload }) => {
        const fileOffset = at + RECORD_HEADER_BYTES;
        at = fileOffset + payload.byteLength;
        return { file: segment.file, fileOffset, segment: segment.number };
      });
    });
  }

  beginBatch(): JournalBatch {
    this.#batchesTotal++;
    return { id: this.#batchesTotal };
  }

  endBatch(batch: JournalBatch): Promise<void> {
    return this.#exclusively(() => this.#log.endBatch(batch));
  }

  /**
   * Takes the records of a batch away that will not come to its end. Nobody may read them, and nothing may have been appended since the
   * batch began but its own records. Throws when the medium fails; the records that are left then count for nothing.
   */
  withdraw(batch: JournalBatch): Promise<void> {
    this.#refuseClosed();
    return this.#mutex.run(() => this.#log.withdraw(batch));
  }

  /** Everything appended before is durable when it resolves; concurrent callers share a sync of the disk. */
  async sync(): Promise<void> {
    this.#refuseClosed();
    await this.#sync();
    await this.#log.refuseVanished();
  }

  /** Ends the segment that is being written; later records go to the next. Returns the number of the last one, 0 when there was none. */
  rotate(): Promise<number> {
    return this.#exclusively(async () => this.#log.segments.end());
  }

  /** Appends a commit record, syncs, and ends the segment, whose number is returned. */
  markCommit(note: string): Promise<number> {
    return this.#exclusively(() =>
      this.#log.decide({ kind: KIND.commit, offset: 0, payload: Buffer.from(note) }),
    );
  }

  /** Removes the segments up to this one, the oldest first, durably. Their files are closed when their readers are done. */
  dropThrough(segment: number): Promise<void> {
    return this.#exclusively(() => this.#log.segments.drop(segment));
  }

  /** Supersedes every record in one step, durably, and removes the segments. */
  async discard(): Promise<void> {
    this.#refuseClosed();
    await this.#mutex.run(() => this.#log.discard());
  }

  /** Makes what is there durable, if it can, and closes the segments. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** After everything that was asked for before, and not before a failure was made good. */
  async #exclusively<T>(task: () => Promise<T>): Promise<T> {
    this.#refuseClosed();
    return this.#mutex.run(async () => {
      await this.#log.makeGood();
      return task();
    });
  }

  #refuseClosed(): void {
    if (this.#closing === undefined) return;
    throw new MlfsError('ERR_MLFS_IO', `${this.#directory}: the journal was closed`, {
      path: this.#directory,
    });
  }

  #refuseBeyondLimit(records: readonly NewRecord[]): void {
    const { limitBytes } = this.#options;
    const added = this.#log.addedBy(records);
    if (limitBytes === undefined || this.#log.segments.bytes + added <= limitBytes) return;
    throw new MlfsError(
      'ERR_MLFS_IO',
      `${this.#directory}: ${added} bytes more would make the journal larger than its limit of ${limitBytes} bytes`,
      {
        path: this.#directory,
        errno: 'ENOSPC',
        advice: 'Fold the edits into the checkpoint: mlfs commit; or allow more: --journal-limit.',
      },
    );
  }

  async #sync(): Promise<void> {
    if (this.failed || !this.#log.durable) await this.#syncRuns.run();
  }

  async #syncNow(): Promise<void> {
    if (this.failed) await this.#mutex.run(() => this.#log.makeGood());
    await this.#log.sync();
  }

  async #close(): Promise<void> {
    await this.#mutex.run(async () => undefined);
    try {
      await this.#sync();
      await this.#log.segments.dropEmpty();
    } catch (cause) {
      // Somebody took the whole directory away: there is nothing left to make durable.
      if (!isGone(cause) && !this.vanished) throw cause;
    } finally {
      await this.#log.segments.close();
    }
  }
}
