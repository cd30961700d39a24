/**
 * The write-back journal: numbered segment files of records, each with a CRC-32C. Records are appended, never changed; the bytes of a dirty
 * range stay where they were appended and are read from there. docs/FORMATS.md has the bytes.
 *
 * Invariants:
 * - `append` resolves when the system has the bytes: they survive the death of this process; `sync` makes them survive a power loss.
 * - Sequence numbers rise by one from record to record, across segments. Each record says up to where the journal was durable.
 * - A record of a batch counts at replay only if the batch's end is there.
 * - Nothing is acknowledged when the current segment is no longer at its path, because its folder was removed or moved.
 * - After a failed write nothing is acknowledged until the tail was cut; after a failed sync, until all poisoned records were rewritten
 *   into a segment of their own. The kernel reports a failed sync once and forgets it, so a second sync proves nothing.
 */
import { MlfsError } from '../../errors.ts';
import { CoalescedRuns } from '../coalesced-runs.ts';
import type { Medium } from '../medium.ts';
import { Mutex } from '../mutex.ts';
import type { Placement } from '../overlay.ts';
import type { LaneTarget } from '../write-lane.ts';
import { KIND, RECORD_HEADER_BYTES } from './record.ts';
import { type JournalBatch, type NewRecord, RecordLog } from './record-log.ts';
import { type JournalVisitor, replay } from './replay.ts';
import type { MovedRecords } from './rewrite-poisoned.ts';
import { isGone } from './segments.ts';

export type { JournalBatch } from './record-log.ts';
export type { JournalVisitor } from './replay.ts';

export interface JournalOptions {
  /** Maximum size; an append beyond it fails with ENOSPC. */
  readonly limitBytes?: number | undefined;
  readonly segmentBytes?: number;
  /** Called at once when a sync failed: nothing may be acknowledged any more. */
  readonly onPoisoned?: () => void;
  /** Awaited before a failure is repaired: resolves when nobody appends natively and everything that was appended was adopted. */
  readonly settle?: () => Promise<void>;
  /**
   * Called when records were rewritten into another segment after a failed sync. The kernel may drop the pages behind the old placements,
   * so every holder must switch to the new ones at once.
   */
  readonly onMoved?: (moved: readonly MovedRecords[]) => void;
}

export interface JournalWrite {
  /** Offset in the image. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface AppendOptions {
  /** For records that are rewritten so that others can be removed: the space is freed at once, so the limit does not apply. */
  readonly beyondLimit?: boolean;
}

export interface JournalCounters {
  /** Size of all segments, headers included. */
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
  /** Guards appends and everything else that changes the segments. */
  readonly #mutex = new Mutex();
  readonly #syncRuns = new CoalescedRuns(() => this.#syncNow());
  #batchesTotal = 0n;
  #appendsTotal = 0;
  #closing: Promise<void> | undefined;
  /** Bytes of a torn tail that were cut off at opening. */
  readonly tornBytes: number;

  private constructor(medium: Medium, directory: string, options: JournalOptions, tornBytes: number) {
    this.#directory = directory;
    this.#options = options;
    this.#log = new RecordLog(medium, directory, options);
    this.tornBytes = tornBytes;
  }

  /**
   * Opens and replays the journal in `directory`; makes nothing if there is none yet. Cuts a torn tail at the last whole record. Throws
   * ERR_MLFS_RECOVERY (naming segment, offset and reason) when a record before the tail is damaged or a segment is missing.
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

  /** Whether nothing can be acknowledged at the moment; the next call that succeeds clears it. */
  get failed(): boolean {
    return this.#log.failed;
  }

  /** Whether the last write or sync found that the segments are gone from their folder. */
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

  /**
   * Appends the writes as one run of records and returns the place of each one's bytes. Either all are appended or none. Throws ENOSPC,
   * ERR_MLFS_IO.
   */
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

  /**
   * Where the data plane may append by itself, up to a size of the journal: undefined if it may not. Until it has stopped and `adopt` was called,
   * nothing else may be appended, and no segment may end.
   */
  laneTarget(mostBytes: number): LaneTarget | undefined {
    if (this.#closing !== undefined) return undefined;
    const target = this.#log.laneTarget();
    if (target === undefined) return undefined;
    const roomBytes = Math.min(target.roomBytes, mostBytes - this.#log.segments.bytes);
    return roomBytes > 0 ? { ...target, roomBytes } : undefined;
  }

  /**
   * Takes up records that were appended natively: the sizes of the payloads of each append. `torn`: an append failed after these. Returns the
   * file and the number of their segment.
   */
  adopt(appends: readonly (readonly number[])[], torn: boolean): Pick<Placement, 'file' | 'segment'> {
    this.#appendsTotal += appends.length;
    const { file, number } = this.#log.adopt(appends.flat(), torn);
    return { file, segment: number };
  }

  get durableSequence(): number {
    return this.#log.durableSequence;
  }

  beginBatch(): JournalBatch {
    this.#batchesTotal++;
    return { id: this.#batchesTotal };
  }

  endBatch(batch: JournalBatch): Promise<void> {
    return this.#exclusively(() => this.#log.endBatch(batch));
  }

  /**
   * Removes the records of an abandoned batch. Nothing may read them, and since the batch began only its own records may have been
   * appended. Throws when the medium fails; the records that remain then do not count.
   */
  withdraw(batch: JournalBatch): Promise<void> {
    this.#refuseClosed();
    return this.#mutex.run(() => this.#log.withdraw(batch));
  }

  /** Resolves when everything appended before is durable; concurrent callers share a sync of the disk. */
  async sync(): Promise<void> {
    this.#refuseClosed();
    await this.#sync();
    await this.#log.refuseVanished();
  }

  /** Ends the segment that is being written; later records go to the next. Returns the number of the last segment, or 0. */
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

  /** Runs after everything requested before, and after earlier failures were repaired. */
  async #exclusively<T>(task: () => Promise<T>): Promise<T> {
    this.#refuseClosed();
    return this.#mutex.run(async () => {
      await this.#makeGood();
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
    if (this.failed) await this.#mutex.run(() => this.#makeGood());
    await this.#log.sync();
  }

  async #makeGood(): Promise<void> {
    if (!this.failed) return;
    await this.#options.settle?.();
    await this.#log.makeGood();
  }

  async #close(): Promise<void> {
    await this.#mutex.run(async () => undefined);
    try {
      await this.#sync();
      await this.#log.segments.dropEmpty();
    } catch (cause) {
      // The whole directory was removed: nothing is left to make durable.
      if (!isGone(cause) && !this.vanished) throw cause;
    } finally {
      await this.#log.segments.close();
    }
  }
}
