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
import { errno, MlfsError, messageOf } from '../../errors.ts';
import { CoalescedRuns } from '../coalesced-runs.ts';
import type { Medium } from '../medium.ts';
import { Mutex } from '../mutex.ts';
import type { Placement } from '../overlay.ts';
import { encodeRecord, KIND, type Kind, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES } from './record.ts';
import { type JournalVisitor, type Replayed, replay } from './replay.ts';
import { type MovedRecords, removeAllUnfinished, rewritePoisoned } from './rewrite-poisoned.ts';
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, type Segment } from './segment.ts';
import { isGone, newSegment, Segments } from './segments.ts';

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

interface NewRecord {
  readonly kind: Kind;
  readonly offset: number;
  readonly payload: Uint8Array;
}

const SEGMENT_BYTES = 64 * 1024 * 1024;
const NO_PAYLOAD = new Uint8Array(0);

export class Journal {
  readonly #medium: Medium;
  readonly #directory: string;
  readonly #options: JournalOptions;
  readonly #segments: Segments;
  /** Guards appends and whatever else changes the segments. */
  readonly #mutex = new Mutex();
  /** Guards syncs of segments. Nothing that holds it waits for `#mutex`. */
  readonly #syncMutex = new Mutex();
  readonly #syncRuns = new CoalescedRuns(() => this.#syncNow());
  #lastSequence = 0;
  #durableSequence = 0;
  /** The segment that has bytes of a failed write behind its records. */
  #torn: Segment | undefined;
  /** A sync failed: no record that was not durable before it can be trusted. */
  #poisoned = false;
  #vanished = false;
  /** Sequence numbers of the first records. */
  readonly #batches = new WeakMap<JournalBatch, number>();
  /** Where in their segments these records begin. */
  #batchStarts = new WeakMap<JournalBatch, number>();
  #batchesTotal = 0n;
  #appendsTotal = 0;
  #syncsTotal = 0;
  #closing: Promise<void> | undefined;
  /** Bytes of a torn tail that were cut off when it was opened. */
  readonly tornBytes: number;

  private constructor(medium: Medium, directory: string, options: JournalOptions, tornBytes: number) {
    this.#medium = medium;
    this.#directory = directory;
    this.#options = options;
    this.#segments = new Segments(medium, directory);
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
      await journal.#takeOver(replayed);
    } catch (cause) {
      for (const { file } of replayed.segments) await file.close();
      throw cause;
    }
    return journal;
  }

  /** Nothing is acknowledged at the moment; cleared by the next call that succeeds. */
  get failed(): boolean {
    return this.#poisoned || this.#torn !== undefined || this.#vanished;
  }

  /** Whether the segments were found to be gone from their folder when somebody last wrote or synced. */
  get vanished(): boolean {
    return this.#vanished;
  }

  get counters(): JournalCounters {
    return {
      bytes: this.#segments.bytes,
      segments: this.#segments.count,
      lastSequence: BigInt(this.#lastSequence),
      appendsTotal: this.#appendsTotal,
      syncsTotal: this.#syncsTotal,
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
      const { segment, start } = await this.#write(records, batch);
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
    return this.#exclusively(async () => {
      if (!this.#batches.has(batch)) return;
      await this.#write([{ kind: KIND.batchEnd, offset: 0, payload: NO_PAYLOAD }], batch);
      this.#batches.delete(batch);
    });
  }

  /**
   * Takes the records of a batch away that will not come to its end. Nobody may read them, and nothing may have been appended since the
   * batch began but its own records. Throws when the medium fails; the records that are left then count for nothing.
   */
  withdraw(batch: JournalBatch): Promise<void> {
    this.#refuseClosed();
    return this.#mutex.run(async () => {
      const first = this.#batches.get(batch);
      const start = this.#batchStarts.get(batch);
      this.#batches.delete(batch);
      // Poisoned records are rewritten before anything else, and these are among them.
      if (first === undefined || start === undefined || this.#poisoned) return;
      await this.#syncMutex.run(() => this.#cutBack(first, start));
    });
  }

  /** Everything appended before is durable when it resolves; concurrent callers share a sync of the disk. */
  async sync(): Promise<void> {
    this.#refuseClosed();
    await this.#sync();
    await this.#refuseVanished(this.#segments.last);
  }

  /** Ends the segment that is being written; later records go to the next. Returns the number of the last one, 0 when there was none. */
  rotate(): Promise<number> {
    return this.#exclusively(async () => this.#segments.end());
  }

  /** Appends a commit record, syncs, and ends the segment, whose number is returned. */
  markCommit(note: string): Promise<number> {
    return this.#exclusively(() =>
      this.#decide({ kind: KIND.commit, offset: 0, payload: Buffer.from(note) }),
    );
  }

  /** Removes the segments up to this one, the oldest first, durably. Their files are closed when their readers are done. */
  dropThrough(segment: number): Promise<void> {
    return this.#exclusively(() => this.#segments.drop(segment));
  }

  /** Supersedes every record in one step, durably, and removes the segments. */
  async discard(): Promise<void> {
    this.#refuseClosed();
    await this.#mutex.run(async () => {
      if (this.#segments.count === 0) return;
      if (await this.#isRemoved()) {
        await this.#segments.forget();
        this.#torn = undefined;
        this.#poisoned = false;
        return;
      }
      const record = { kind: KIND.discard, offset: 0, payload: NO_PAYLOAD };
      if (this.#poisoned) {
        // Poisoned records need not be saved; this works even when they cannot be read any more.
        await this.#attempt(() => this.#rewritePoisoned(record));
      } else {
        await this.#makeGood();
        await this.#decide(record);
      }
      // It is done: what cannot be removed now is superseded, and goes with the next drop or at the next opening.
      await this.#segments.drop(this.#segments.end()).catch(() => undefined);
    });
  }

  /** Makes what is there durable, if it can, and closes the segments. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #takeOver({ segments, lastSequence, durable, supersededThrough }: Replayed): Promise<void> {
    // The newest first, each durably: at no time is one missing between two others.
    for (const { torn, file, path } of segments.toReversed()) {
      if (!torn) continue;
      await file.close();
      await this.#medium.remove(path);
      await this.#medium.syncDirectory(this.#directory);
    }
    await removeAllUnfinished(this.#medium, this.#directory);
    const kept = segments.filter(({ torn }) => !torn);
    const last = kept.at(-1);
    if (last !== undefined && last.fileSize > last.size) await last.file.truncate(last.size);
    for (const [index, { file }] of kept.entries()) {
      // What was read may be in the page cache only, and from here on everything stands on it.
      const next = kept[index + 1]?.firstSequence ?? Number.POSITIVE_INFINITY;
      if (next - 1 > durable) await file.sync();
    }
    if (kept.length > 0) await this.#medium.syncDirectory(this.#directory);
    for (const segment of kept) this.#segments.add(newSegment(segment));
    if (last?.ended) this.#segments.end();
    this.#lastSequence = lastSequence;
    this.#durableSequence = lastSequence;
    if (supersededThrough > 0) await this.#segments.drop(supersededThrough);
  }

  /** After everything that was asked for before, and not before a failure was made good. */
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
    const bytes = bytesOf(records);
    const begins = (this.#segments.current?.size ?? 0) === 0 || !this.#fits(bytes);
    const added = begins ? SEGMENT_HEADER_BYTES + bytes : bytes;
    if (limitBytes === undefined || this.#segments.bytes + added <= limitBytes) return;
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

  /** Into the segment that is being written. One that has no record yet takes anything. */
  #fits(bytes: number): boolean {
    const size = this.#segments.current?.size ?? 0;
    return size <= SEGMENT_HEADER_BYTES || size + bytes <= (this.#options.segmentBytes ?? SEGMENT_BYTES);
  }

  /** Where the first record begins is returned, too. */
  async #write(
    records: readonly NewRecord[],
    batch?: JournalBatch,
  ): Promise<{ segment: Segment; start: number }> {
    for (const { offset, payload } of records) this.#refuseUnsafe(offset, payload);
    if (!this.#fits(bytesOf(records))) this.#segments.end();
    if (this.#segments.current === undefined) await this.#orPoison(() => this.#segments.syncNames());
    const segment = this.#segments.current ?? (await this.#begin());
    const firstOfBatch = batch === undefined ? 0 : (this.#batches.get(batch) ?? this.#lastSequence + 1);
    const pieces = this.#encode(records, this.#lastSequence + 1, firstOfBatch);
    const start = Math.max(segment.size, SEGMENT_HEADER_BYTES);
    const header = segment.size === 0 ? [encodeSegmentHeader(segment.number, segment.firstSequence)] : [];
    try {
      await segment.file.write(segment.size, [...header, ...pieces]);
      // What is dropped may be gone.
      if (records.every(({ kind }) => kind !== KIND.discard)) await this.#refuseVanished(segment);
    } catch (cause) {
      await this.#tryToCut(segment);
      throw cause;
    }
    segment.size = start + bytesOf(records);
    this.#lastSequence += records.length;
    if (batch !== undefined) {
      if (!this.#batches.has(batch)) this.#batchStarts.set(batch, start);
      this.#batches.set(batch, firstOfBatch);
    }
    return { segment, start };
  }

  async #begin(): Promise<Segment> {
    try {
      return await this.#segments.begin(this.#lastSequence + 1);
    } catch (cause) {
      if (isGone(cause)) throw this.#vanishedError();
      throw cause;
    }
  }

  /** A look at the segment's path. */
  async #refuseVanished(segment: Segment | undefined): Promise<void> {
    if (segment === undefined || segment.closed) return;
    this.#vanished = (await segment.file.isInPlace?.()) === false;
    if (this.#vanished) throw this.#vanishedError();
  }

  /** Not moved: nobody will ever find the segments again. */
  async #isRemoved(): Promise<boolean> {
    if ((await this.#segments.last?.file.isInPlace?.()) !== false) return false;
    try {
      await this.#medium.syncDirectory(this.#directory);
      return false;
    } catch (cause) {
      if (isGone(cause)) return true;
      throw cause;
    }
  }

  #vanishedError(): MlfsError {
    this.#vanished = true;
    return new MlfsError(
      'ERR_MLFS_STALE',
      `${this.#directory}: was removed or moved while it was in use; nothing is written`,
      {
        path: this.#directory,
        advice:
          'put it back; or keep the edits: mlfs commit MOUNTPOINT --to NEW.pt; or drop them: mlfs discard MOUNTPOINT',
      },
    );
  }

  #encode(records: readonly NewRecord[], firstSequence: number, batch = 0): Uint8Array[] {
    return records.flatMap(({ kind, offset, payload }, index) => {
      const sequence = firstSequence + index;
      const length = payload.byteLength;
      return encodeRecord({ kind, sequence, offset, length, batch, durable: this.#durableSequence }, payload);
    });
  }

  #refuseUnsafe(offset: number, { byteLength }: Uint8Array): void {
    if (Number.isSafeInteger(offset) && offset >= 0 && byteLength <= MAX_PAYLOAD_BYTES) return;
    throw errno('EINVAL', `${this.#directory}: ${byteLength} bytes at ${offset} cannot be journalled`);
  }

  /** A record that decides something: durable, or not there. Ends its segment and returns its number. */
  async #decide(record: NewRecord): Promise<number> {
    const { segment, start } = await this.#write([record]);
    try {
      await this.#syncMutex.run(() => this.#syncSegments());
    } catch (cause) {
      segment.size = start;
      this.#lastSequence--;
      await this.#tryToCut(segment);
      throw cause;
    }
    return this.#segments.end();
  }

  /** If it cannot be cut now, the next call tries again before it does anything. */
  async #tryToCut(segment: Segment): Promise<void> {
    this.#torn = segment;
    await this.#cut(segment).catch(() => undefined);
  }

  /** Takes the bytes behind the records away, durably: nothing of a failed write may ever look like a record. */
  async #cut(segment: Segment): Promise<void> {
    await segment.file.truncate(segment.size);
    await this.#syncMutex.run(() => this.#orPoison(() => segment.file.sync()));
    this.#torn = undefined;
  }

  /** Back to the record before `first`, which begins at `start` of its segment; durably, the newest segment first. */
  async #cutBack(first: number, start: number): Promise<void> {
    for (
      let last = this.#segments.last;
      last !== undefined && last.firstSequence >= first;
      last = this.#segments.last
    ) {
      await this.#segments.dropLast();
      if (this.#torn === last) this.#torn = undefined;
      this.#forgetFrom(last.firstSequence);
    }
    const segment = this.#segments.last;
    if (segment === undefined || this.#lastSequence < first) return;
    segment.size = start;
    segment.durableSize = Math.min(segment.durableSize, start);
    this.#forgetFrom(first);
    this.#torn = segment;
    await segment.file.truncate(start);
    await this.#orPoison(() => segment.file.sync());
    this.#torn = undefined;
  }

  #forgetFrom(sequence: number): void {
    this.#lastSequence = Math.min(this.#lastSequence, sequence - 1);
    this.#durableSequence = Math.min(this.#durableSequence, this.#lastSequence);
  }

  /** A failed sync poisons every record that is not durable, whoever asked for it. */
  async #orPoison(sync: () => Promise<void>): Promise<void> {
    try {
      await sync();
    } catch (cause) {
      // The folder was removed: no record was lost by the sync itself.
      if (isGone(cause)) throw this.#vanishedError();
      this.#poisoned = true;
      throw cause;
    }
  }

  async #makeGood(): Promise<void> {
    const torn = this.#torn;
    if (this.#poisoned) await this.#attempt(() => this.#rewritePoisoned());
    else if (torn !== undefined) await this.#attempt(() => this.#cut(torn));
  }

  async #attempt(task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (cause) {
      const reason = messageOf(cause);
      throw new MlfsError(
        'ERR_MLFS_IO',
        `${this.#directory}: could not be mended after a failure: ${reason}`,
        {
          path: this.#directory,
          cause,
          advice: 'Reads go on. The next write or fsync tries again.',
        },
      );
    }
  }

  /** `instead`: the record that takes the place of the poisoned ones. */
  async #rewritePoisoned(instead?: NewRecord): Promise<void> {
    await this.#segments.dropEmpty();
    await this.#medium.syncDirectory(this.#directory);
    const poisoned = this.#segments.dirty;
    const first = this.#durableSequence + 1;
    const { segment, moved } = await rewritePoisoned(
      this.#medium,
      this.#directory,
      this.#segments.nextNumber,
      first,
      poisoned,
      instead === undefined ? undefined : this.#encode([instead], first),
    );
    this.#segments.add(segment);
    // Batches begin elsewhere in this one. Without their end they count for nothing, so they need not be cut off.
    this.#batchStarts = new WeakMap();
    this.#torn = undefined;
    if (instead !== undefined) this.#lastSequence = first;
    this.#durableSequence = this.#lastSequence;
    this.#poisoned = false;
    for (const segment of poisoned) segment.durableSize = segment.size;
    if (moved.length > 0) this.#options.onMoved?.(moved);
  }

  async #sync(): Promise<void> {
    if (this.failed || this.#durableSequence < this.#lastSequence) await this.#syncRuns.run();
  }

  async #syncNow(): Promise<void> {
    if (this.failed) await this.#mutex.run(() => this.#makeGood());
    if (this.#durableSequence < this.#lastSequence) await this.#syncMutex.run(() => this.#syncSegments());
  }

  async #syncSegments(): Promise<void> {
    this.#refusePoisoned();
    const upTo = this.#lastSequence;
    const dirty = this.#segments.dirty.map((segment) => ({ segment, size: segment.size }));
    await this.#orPoison(async () => {
      for (const { segment } of dirty) if (!segment.closed) await segment.file.sync();
      await this.#segments.syncNames();
    });
    this.#refusePoisoned();
    for (const { segment, size } of dirty) segment.durableSize = Math.max(segment.durableSize, size);
    this.#durableSequence = Math.max(this.#durableSequence, upTo);
    this.#syncsTotal++;
  }

  /** The kernel reports a failed write-back to one caller, once: a sync that succeeds after it proves nothing. */
  #refusePoisoned(): void {
    if (this.#poisoned) throw errno('EIO', `${this.#directory}: a sync of the journal failed`);
  }

  async #close(): Promise<void> {
    await this.#mutex.run(async () => undefined);
    try {
      await this.#sync();
      await this.#segments.dropEmpty();
    } catch (cause) {
      // Somebody took the whole directory away: there is nothing left to make durable.
      if (!isGone(cause) && !this.#vanished) throw cause;
    } finally {
      await this.#segments.close();
    }
  }
}

function bytesOf(records: readonly NewRecord[]): number {
  return records.reduce((sum, { payload }) => sum + RECORD_HEADER_BYTES + payload.byteLength, 0);
}
