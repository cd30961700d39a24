/**
 * The records of an open journal, and its three failure states:
 *
 * - `torn`: a write failed, and the bytes behind the last record must be cut off before anything else is written.
 * - `poisoned`: a sync failed, and every record that is not durable must be rewritten into a segment of its own (rewrite-poisoned.ts).
 * - `vanished`: the segment is not at its path, and nothing may be acknowledged.
 *
 * `makeGood` repairs the first two, and runs before anything that adds records. The caller runs one of these functions at a time; only
 * `sync` may run beside them.
 */
import { errno, MlfsError, messageOf } from '../../errors.ts';
import type { Medium } from '../medium.ts';
import { Mutex } from '../mutex.ts';
import type { LaneTarget } from '../write-lane.ts';
import { encodeRecord, KIND, type Kind, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES } from './record.ts';
import type { Replayed } from './replay.ts';
import { type MovedRecords, removeAllUnfinished, rewritePoisoned } from './rewrite-poisoned.ts';
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, type Segment } from './segment.ts';
import { isGone, newSegment, Segments } from './segments.ts';

export interface NewRecord {
  readonly kind: Kind;
  readonly offset: number;
  readonly payload: Uint8Array;
}

/** Writes of which replay applies all or none. */
export interface JournalBatch {
  readonly id: bigint;
}

export interface RecordLogOptions {
  readonly segmentBytes?: number;
  /** Called at once when a sync failed: nothing may be acknowledged any more. */
  readonly onPoisoned?: () => void;
  /** Receives the new places of rewritten records. */
  readonly onMoved?: (moved: readonly MovedRecords[]) => void;
}

const SEGMENT_BYTES = 64 * 1024 * 1024;
const NO_PAYLOAD = new Uint8Array(0);

export class RecordLog {
  readonly segments: Segments;
  readonly #medium: Medium;
  readonly #directory: string;
  readonly #options: RecordLogOptions;
  /** Guards syncs of segments. A holder never waits for the caller's own mutex. */
  readonly #syncMutex = new Mutex();
  #lastSequence = 0;
  #durableSequence = 0;
  /** The segment that has bytes of a failed write behind its records. */
  #torn: Segment | undefined;
  /** A sync failed: records that were not durable before it are poisoned. */
  #poisoned = false;
  #vanished = false;
  /** Sequence numbers of the first records. */
  readonly #batches = new WeakMap<JournalBatch, number>();
  /** Offsets of these records in their segments. */
  #batchStarts = new WeakMap<JournalBatch, number>();
  #syncsTotal = 0;

  constructor(medium: Medium, directory: string, options: RecordLogOptions) {
    this.#medium = medium;
    this.#directory = directory;
    this.#options = options;
    this.segments = new Segments(medium, directory);
  }

  get lastSequence(): number {
    return this.#lastSequence;
  }

  /** Whether every record is durable. */
  get durable(): boolean {
    return this.#durableSequence >= this.#lastSequence;
  }

  get syncsTotal(): number {
    return this.#syncsTotal;
  }

  get vanished(): boolean {
    return this.#vanished;
  }

  get failed(): boolean {
    return this.#poisoned || this.#torn !== undefined || this.#vanished;
  }

  /** Number of bytes that these records add to the journal. */
  addedBy(records: readonly NewRecord[]): number {
    const bytes = bytesOf(records);
    const begins = (this.segments.current?.size ?? 0) === 0 || !this.#fits(bytes);
    return begins ? SEGMENT_HEADER_BYTES + bytes : bytes;
  }

  async endBatch(batch: JournalBatch): Promise<void> {
    if (!this.#batches.has(batch)) return;
    await this.write([{ kind: KIND.batchEnd, offset: 0, payload: NO_PAYLOAD }], batch);
    this.#batches.delete(batch);
  }

  async withdraw(batch: JournalBatch): Promise<void> {
    const first = this.#batches.get(batch);
    const start = this.#batchStarts.get(batch);
    this.#batches.delete(batch);
    // Poisoned records are rewritten before anything else, and these are among them.
    if (first === undefined || start === undefined || this.#poisoned) return;
    await this.#syncMutex.run(() => this.#cutBack(first, start));
  }

  async sync(): Promise<void> {
    if (!this.durable) await this.#syncMutex.run(() => this.#syncSegments());
  }

  /** Supersedes every record in one step, durably, and removes the segments. */
  async discard(): Promise<void> {
    if (this.segments.count === 0) return;
    if (await this.#isRemoved()) {
      await this.segments.forget();
      this.#torn = undefined;
      this.#poisoned = false;
      return;
    }
    const record = { kind: KIND.discard, offset: 0, payload: NO_PAYLOAD };
    if (this.#poisoned) {
      // Poisoned records need not be saved; this works even when they can no longer be read.
      await this.#attempt(() => this.#rewritePoisoned(record));
    } else {
      await this.makeGood();
      await this.decide(record);
    }
    // It is done. Segments that cannot be removed now are superseded, and go with the next drop or at the next opening.
    await this.segments.drop(this.segments.end()).catch(() => undefined);
  }

  async takeOver({ segments, lastSequence, durable, supersededThrough }: Replayed): Promise<void> {
    // Durably, one by one, the newest first: no segment is ever missing between two others.
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
      // The replayed bytes may be in the page cache only, and everything later depends on them.
      const next = kept[index + 1]?.firstSequence ?? Number.POSITIVE_INFINITY;
      if (next - 1 > durable) await file.sync();
    }
    if (kept.length > 0) await this.#medium.syncDirectory(this.#directory);
    for (const segment of kept) this.segments.add(newSegment(segment));
    if (last?.ended) this.segments.end();
    this.#lastSequence = lastSequence;
    this.#durableSequence = lastSequence;
    if (supersededThrough > 0) await this.segments.drop(supersededThrough);
  }

  get durableSequence(): number {
    return this.#durableSequence;
  }

  /** Where the next record goes if it fits into the segment that is being written; undefined if the journal must do something else first. */
  laneTarget(): LaneTarget | undefined {
    const segment = this.segments.current;
    const place = segment?.file.nativePlace;
    if (segment === undefined || place === undefined || this.failed || segment.size === 0) return undefined;
    return {
      file: segment.file,
      place,
      position: segment.size,
      sequence: this.#lastSequence + 1,
      durable: this.#durableSequence,
      roomBytes: (this.#options.segmentBytes ?? SEGMENT_BYTES) - segment.size,
    };
  }

  /** The data plane has appended records to the segment that is being written. `torn`: and has failed to write one more. */
  adopt(payloadBytes: readonly number[], torn: boolean): Segment {
    const segment = this.segments.current;
    if (segment === undefined) throw new Error('records were appended natively without a segment');
    for (const bytes of payloadBytes) segment.size += RECORD_HEADER_BYTES + bytes;
    this.#lastSequence += payloadBytes.length;
    if (torn) this.#torn = segment;
    return segment;
  }

  /** Returns the segment and the offset of the first record. */
  async write(
    records: readonly NewRecord[],
    batch?: JournalBatch,
  ): Promise<{ segment: Segment; start: number }> {
    for (const { offset, payload } of records) this.#refuseUnsafe(offset, payload);
    if (!this.#fits(bytesOf(records))) this.segments.end();
    if (this.segments.current === undefined) await this.#orPoison(() => this.segments.syncNames());
    const segment = this.segments.current ?? (await this.#begin());
    const firstOfBatch = batch === undefined ? 0 : (this.#batches.get(batch) ?? this.#lastSequence + 1);
    const pieces = this.#encode(records, this.#lastSequence + 1, firstOfBatch);
    const start = Math.max(segment.size, SEGMENT_HEADER_BYTES);
    const header = segment.size === 0 ? [encodeSegmentHeader(segment.number, segment.firstSequence)] : [];
    try {
      await segment.file.write(segment.size, [...header, ...pieces]);
      // A discard succeeds even when the segments are gone.
      if (records.every(({ kind }) => kind !== KIND.discard)) await this.refuseVanished(segment);
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

  /** Writes a record that decides something: it is durable or not there. Ends its segment and returns its number. */
  async decide(record: NewRecord): Promise<number> {
    const { segment, start } = await this.write([record]);
    try {
      await this.#syncMutex.run(() => this.#syncSegments());
    } catch (cause) {
      segment.size = start;
      this.#lastSequence--;
      await this.#tryToCut(segment);
      throw cause;
    }
    return this.segments.end();
  }

  async makeGood(): Promise<void> {
    const torn = this.#torn;
    if (this.#poisoned) await this.#attempt(() => this.#rewritePoisoned());
    else if (torn !== undefined) await this.#attempt(() => this.#cut(torn));
  }

  /** Checks whether the segment is still at its path. */
  async refuseVanished(segment: Segment | undefined = this.segments.last): Promise<void> {
    if (segment === undefined || segment.closed) return;
    this.#vanished = (await segment.file.isInPlace?.()) === false;
    if (this.#vanished) throw this.#vanishedError();
  }

  /** Appends to the segment that is being written. A segment without records takes a run of any size. */
  #fits(bytes: number): boolean {
    const size = this.segments.current?.size ?? 0;
    return size <= SEGMENT_HEADER_BYTES || size + bytes <= (this.#options.segmentBytes ?? SEGMENT_BYTES);
  }

  async #begin(): Promise<Segment> {
    try {
      return await this.segments.begin(this.#lastSequence + 1);
    } catch (cause) {
      if (isGone(cause)) throw this.#vanishedError();
      throw cause;
    }
  }

  /** Removed, not moved: nobody can find the segments again. */
  async #isRemoved(): Promise<boolean> {
    if ((await this.segments.last?.file.isInPlace?.()) !== false) return false;
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

  /** If it cannot be cut now, the next call tries again before it does anything. */
  async #tryToCut(segment: Segment): Promise<void> {
    this.#torn = segment;
    await this.#cut(segment).catch(() => undefined);
  }

  /** Removes the bytes behind the records, durably: no part of a failed write may ever look like a record. */
  async #cut(segment: Segment): Promise<void> {
    await segment.file.truncate(segment.size);
    await this.#syncMutex.run(() => this.#orPoison(() => segment.file.sync()));
    this.#torn = undefined;
  }

  /** Goes back to the record before `first`, which begins at `start` of its segment; durably, the newest segment first. */
  async #cutBack(first: number, start: number): Promise<void> {
    for (
      let last = this.segments.last;
      last !== undefined && last.firstSequence >= first;
      last = this.segments.last
    ) {
      await this.segments.dropLast();
      if (this.#torn === last) this.#torn = undefined;
      this.#forgetFrom(last.firstSequence);
    }
    const segment = this.segments.last;
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

  /** A failed sync poisons every record that is not durable, whoever called it. */
  async #orPoison(sync: () => Promise<void>): Promise<void> {
    try {
      await sync();
    } catch (cause) {
      // The folder was removed: the sync itself lost no record.
      if (isGone(cause)) throw this.#vanishedError();
      this.#poisoned = true;
      this.#options.onPoisoned?.();
      throw cause;
    }
  }

  async #attempt(task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (cause) {
      const reason = messageOf(cause);
      throw new MlfsError(
        'ERR_MLFS_IO',
        `${this.#directory}: could not be repaired after a failure: ${reason}`,
        {
          path: this.#directory,
          cause,
          advice: 'Reads continue. The next write or fsync tries again.',
        },
      );
    }
  }

  /** `instead`: the record that replaces the poisoned ones. */
  async #rewritePoisoned(instead?: NewRecord): Promise<void> {
    await this.segments.dropEmpty();
    await this.#medium.syncDirectory(this.#directory);
    const poisoned = this.segments.dirty;
    const first = this.#durableSequence + 1;
    const { segment, moved } = await rewritePoisoned(
      this.#medium,
      this.#directory,
      this.segments.nextNumber,
      first,
      poisoned,
      instead === undefined ? undefined : this.#encode([instead], first),
    );
    this.segments.add(segment);
    // Batches begin at other places in this segment. Unfinished ones do not count, so they need not be cut off.
    this.#batchStarts = new WeakMap();
    this.#torn = undefined;
    if (instead !== undefined) this.#lastSequence = first;
    this.#durableSequence = this.#lastSequence;
    this.#poisoned = false;
    for (const segment of poisoned) segment.durableSize = segment.size;
    if (moved.length > 0) this.#options.onMoved?.(moved);
  }

  async #syncSegments(): Promise<void> {
    this.#refusePoisoned();
    const upTo = this.#lastSequence;
    const dirty = this.segments.dirty.map((segment) => ({ segment, size: segment.size }));
    await this.#orPoison(async () => {
      for (const { segment } of dirty) if (!segment.closed) await segment.file.sync();
      await this.segments.syncNames();
    });
    this.#refusePoisoned();
    for (const { segment, size } of dirty) segment.durableSize = Math.max(segment.durableSize, size);
    this.#durableSequence = Math.max(this.#durableSequence, upTo);
    this.#syncsTotal++;
  }

  /** The kernel reports a failed write-back to one caller, once: a later sync that succeeds proves nothing. */
  #refusePoisoned(): void {
    if (this.#poisoned) throw errno('EIO', `${this.#directory}: a sync of the journal failed`);
  }
}

function bytesOf(records: readonly NewRecord[]): number {
  return records.reduce((sum, { payload }) => sum + RECORD_HEADER_BYTES + payload.byteLength, 0);
}
