/**
 * The write-back journal: numbered segment files of records, each with a CRC-32C. Records are appended, never changed; the bytes of
 * a dirty range stay where they were appended and are read from there. docs/FORMATS.md has the bytes.
 *
 * Invariants:
 * - `append` resolves when the system has the bytes: they survive the death of this process; `sync` makes them survive a power loss.
 * - Sequence numbers rise by one from record to record, across segments. Each record tells up to where the journal was durable.
 * - A record of a batch counts at replay only if the batch's end is there.
 * - A segment is made when the name of the one before is durable, so that none can be missing between two others.
 * - After a failed write nothing more is acknowledged until the tail was cut; after a failed sync, until everything that was not
 *   durable was written anew into a segment of its own. The kernel reports a failed sync once and forgets it: to sync again proves nothing.
 */
import { dirname, join } from 'node:path';
import { errno, MlfsError } from '../../errors.ts';
import type { Medium } from '../medium.ts';
import type { Placement } from '../overlay.ts';
import { Turns } from '../turns.ts';
import { encodeRecord, KIND, type Kind, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES } from './record.ts';
import { type JournalVisitor, type Replayed, replay } from './replay.ts';
import { type MovedRecords, UNFINISHED, writeAnew } from './rewrite.ts';
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, type Segment, segmentPath } from './segment.ts';

export type { JournalVisitor } from './replay.ts';

export interface JournalOptions {
  /** ENOSPC beyond it. */
  readonly limitBytes?: number;
  readonly segmentBytes?: number;
  /**
   * Records were written anew into another segment after a sync failed. Their old placements can be read for as long as the
   * kernel keeps the pages, which it need not: whoever holds them takes the new ones, at once.
   */
  readonly onMoved?: (moved: readonly MovedRecords[]) => void;
}

export interface JournalWrite {
  /** In the image. */
  readonly offset: number;
  readonly bytes: Uint8Array;
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
  readonly #segmentBytes: number;
  /** Appends and whatever else changes the segments. */
  readonly #turns = new Turns();
  /** The oldest first. */
  #segments: Segment[] = [];
  /** The one that is appended to, the last; undefined when the next append begins a new one. */
  #current: Segment | undefined;
  #lastNumber = 0;
  #lastSequence = 0;
  #durableSequence = 0;
  /** Segments that were made, and how many of them had their names synced. */
  #namesMade = 0;
  #namesDurable = 0;
  /** Has bytes of a failed write behind its records. */
  #uncut: Segment | undefined;
  /** A sync failed: nothing that was not durable before can be trusted. */
  #suspect = false;
  #failedSyncs = 0;
  /** Never waits for a turn of `#turns`. */
  readonly #syncTurns = new Turns();
  #syncing: Promise<void> | undefined;
  #nextSync: Promise<void> | undefined;
  readonly #batches = new WeakMap<JournalBatch, number>();
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
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
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
    return this.#suspect || this.#uncut !== undefined;
  }

  get counters(): JournalCounters {
    return {
      bytes: this.#bytes,
      segments: this.#segments.length,
      lastSequence: BigInt(this.#lastSequence),
      appendsTotal: this.#appendsTotal,
      syncsTotal: this.#syncsTotal,
    };
  }

  /** Appends the writes as one run of records and says where each one's bytes are. All or none. Throws ENOSPC, ERR_MLFS_IO. */
  append(writes: readonly JournalWrite[], batch?: JournalBatch): Promise<Placement[]> {
    return this.#exclusively(async () => {
      if (writes.length === 0) return [];
      const records = writes.map(({ offset, bytes }) => ({ kind: KIND.write, offset, payload: bytes }));
      this.#refuseBeyondLimit(records);
      const segment = await this.#write(records, batch);
      this.#appendsTotal++;
      let end = segment.size;
      return records
        .toReversed()
        .map(({ payload }) => {
          const fileOffset = end - payload.byteLength;
          end = fileOffset - RECORD_HEADER_BYTES;
          return { file: segment.file, fileOffset, segment: segment.number };
        })
        .reverse();
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

  /** Durable when it resolves; callers at a time share one sync of the disk. */
  sync(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(this.#closedError());
    return this.#sync();
  }

  /** Ends the segment that is being written; later records go to the next. Returns the number of the last one, 0 when there was none. */
  rotate(): Promise<number> {
    return this.#exclusively(async () => this.#endSegment());
  }

  /** Appends a commit record, syncs, and ends the segment, whose number is returned. */
  markCommit(note: string): Promise<number> {
    return this.#mark(KIND.commit, Buffer.from(note));
  }

  /** Removes the segments up to this one, the oldest first, durably. Their files are closed when their readers are done. */
  dropThrough(segment: number): Promise<void> {
    return this.#exclusively(() => this.#drop(segment));
  }

  /** Makes everything void in one step, durably, and removes it. */
  async discard(): Promise<void> {
    if (this.#segments.length === 0) return;
    const segment = await this.#mark(KIND.discard, NO_PAYLOAD);
    await this.dropThrough(segment);
  }

  /** Makes what is there durable, if it can, and closes the segments. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  get #bytes(): number {
    return this.#segments.reduce((sum, { size }) => sum + size, 0);
  }

  async #takeOver({ segments, lastSequence, durable, voidThrough, tornBytes }: Replayed): Promise<void> {
    // The newest first, each durably: at no time is one missing between two others.
    for (const { torn, file, path } of segments.toReversed()) {
      if (!torn) continue;
      await file.close();
      await this.#medium.remove(path);
      await this.#medium.syncDirectory(this.#directory);
    }
    for (const name of await this.#medium.list(this.#directory)) {
      if (name.endsWith(UNFINISHED)) await this.#medium.remove(join(this.#directory, name));
    }
    const kept = segments.filter(({ torn }) => !torn);
    const last = kept.at(-1);
    if (last !== undefined && tornBytes > 0 && last.fileSize > last.size) await last.file.truncate(last.size);
    // What was read may be in the page cache only. From here on it is what everything stands on.
    for (const { file } of kept) if (lastSequence > durable || tornBytes > 0) await file.sync();
    if (kept.length > 0) await this.#medium.syncDirectory(this.#directory);
    this.#segments = kept.map(({ number, path, file, firstSequence, size }) => ({
      number,
      path,
      file,
      firstSequence,
      size,
      durableSize: size,
      replaced: false,
      closed: false,
    }));
    this.#lastNumber = last?.number ?? 0;
    this.#current = last?.ended ? undefined : this.#segments.at(-1);
    this.#lastSequence = lastSequence;
    this.#durableSequence = lastSequence;
    if (voidThrough > 0) await this.#drop(voidThrough);
  }

  /** After everything that was asked for before, and not before a failure was made good. */
  #exclusively<T>(task: () => Promise<T>): Promise<T> {
    return this.#turns.run(async () => {
      if (this.#closing !== undefined) throw this.#closedError();
      await this.#makeGood();
      return task();
    });
  }

  #refuseBeyondLimit(records: readonly NewRecord[]): void {
    const { limitBytes } = this.#options;
    const added = this.#roomFor(records);
    if (limitBytes === undefined || this.#bytes + added <= limitBytes) return;
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

  /** With the header of the segment that they would begin. */
  #roomFor(records: readonly NewRecord[]): number {
    const bytes = bytesOf(records);
    return this.#fits(bytes) && this.#current !== undefined && this.#current.size > 0
      ? bytes
      : bytes + SEGMENT_HEADER_BYTES;
  }

  #fits(bytes: number): boolean {
    const size = this.#current?.size ?? 0;
    return size <= SEGMENT_HEADER_BYTES || size + bytes <= this.#segmentBytes;
  }

  async #write(records: readonly NewRecord[], batch?: JournalBatch): Promise<Segment> {
    for (const { offset, payload } of records) this.#refuseUnsafe(offset, payload);
    if (!this.#fits(bytesOf(records))) this.#endSegment();
    this.#current ??= await this.#makeSegment();
    const segment = this.#current;
    const pieces: Uint8Array[] = [];
    if (segment.size === 0) pieces.push(encodeSegmentHeader(segment.number, segment.firstSequence));
    let sequence = this.#lastSequence;
    const firstOfBatch = batch === undefined ? 0 : (this.#batches.get(batch) ?? sequence + 1);
    for (const { kind, offset, payload } of records) {
      sequence++;
      const header = {
        kind,
        sequence,
        offset,
        length: payload.byteLength,
        batch: firstOfBatch,
        durable: this.#durableSequence,
      };
      pieces.push(...encodeRecord(header, payload));
    }
    try {
      await segment.file.write(segment.size, pieces);
    } catch (cause) {
      this.#uncut = segment;
      // Whether or not it can be cut now: the next call tries again before it does anything.
      await this.#cut(segment).catch(() => undefined);
      throw cause;
    }
    segment.size += pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
    this.#lastSequence = sequence;
    if (batch !== undefined) this.#batches.set(batch, firstOfBatch);
    return segment;
  }

  #refuseUnsafe(offset: number, payload: Uint8Array): void {
    if (Number.isSafeInteger(offset) && offset >= 0 && payload.byteLength <= MAX_PAYLOAD_BYTES) return;
    throw errno(
      'EINVAL',
      `${this.#directory}: ${payload.byteLength} bytes at ${offset} cannot be journalled`,
    );
  }

  async #makeSegment(): Promise<Segment> {
    await this.#makeNamesDurable();
    if (this.#segments.length === 0) {
      await this.#medium.makeDirectory(this.#directory);
      await this.#medium.syncDirectory(dirname(this.#directory));
    }
    const number = this.#lastNumber + 1;
    const path = segmentPath(this.#directory, number);
    const file = await this.#medium.open(path, 'create');
    this.#namesMade++;
    this.#lastNumber = number;
    const segment = {
      number,
      path,
      file,
      firstSequence: this.#lastSequence + 1,
      size: 0,
      durableSize: 0,
      replaced: false,
      closed: false,
    };
    this.#segments.push(segment);
    return segment;
  }

  #endSegment(): number {
    // One that is empty goes on: an empty one before others would be damage.
    if (this.#current !== undefined && this.#current.size > 0) this.#current = undefined;
    return this.#current === undefined ? this.#lastNumber : this.#current.number - 1;
  }

  /** Takes what is behind the records away, durably: nothing of a failed write may ever look like a record. */
  async #cut(segment: Segment): Promise<void> {
    await segment.file.truncate(segment.size);
    await this.#syncTurns.run(() => this.#orDistrust(() => segment.file.sync()));
    this.#uncut = undefined;
  }

  /** A failed sync is nobody's own: it puts everything in doubt that is not durable. */
  async #orDistrust(sync: () => Promise<void>): Promise<void> {
    try {
      await sync();
    } catch (cause) {
      this.#suspect = true;
      this.#failedSyncs++;
      throw cause;
    }
  }

  async #makeGood(): Promise<void> {
    if (this.#suspect) {
      await this.#attempt('what was not durable when a sync failed could not be written anew', () =>
        this.#writeAnew(),
      );
    }
    const uncut = this.#uncut;
    if (uncut !== undefined) {
      await this.#attempt(`the end of ${uncut.path} could not be cut off`, () => this.#cut(uncut));
    }
  }

  async #attempt(what: string, task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new MlfsError('ERR_MLFS_IO', `${this.#directory}: ${what}: ${reason}`, {
        path: this.#directory,
        cause,
        advice: 'Reads go on. The next write or fsync tries again.',
      });
    }
  }

  async #writeAnew(): Promise<void> {
    const failuresBefore = this.#failedSyncs;
    await this.#forgetEmpty();
    await this.#medium.syncDirectory(this.#directory);
    const suspects = this.#segments.filter(({ size, durableSize }) => size > durableSize);
    if (suspects.length > 0) {
      const number = this.#lastNumber + 1;
      const first = this.#durableSequence + 1;
      const { segment, moved } = await writeAnew(this.#medium, this.#directory, number, first, suspects);
      this.#lastNumber = number;
      this.#segments.push(segment);
      this.#current = segment;
      this.#uncut = undefined;
      for (const suspect of suspects) {
        suspect.replaced = suspect.durableSize === 0;
        suspect.durableSize = suspect.size;
      }
      this.#options.onMoved?.(moved);
    }
    // What has nothing before it cannot be told from a damaged one, should its header be lost. Its readers keep the open file.
    for (const { replaced, path } of this.#segments) {
      if (!replaced) break;
      await this.#remove(path);
      await this.#medium.syncDirectory(this.#directory);
    }
    if (failuresBefore !== this.#failedSyncs) throw errno('EIO', 'another sync failed');
    this.#durableSequence = this.#lastSequence;
    this.#namesDurable = this.#namesMade;
    this.#suspect = false;
  }

  /** A segment without a header has no place between two others. */
  async #forgetEmpty(): Promise<void> {
    const empty = this.#segments.at(-1);
    if (empty === undefined || empty.size > 0) return;
    await this.#remove(empty.path);
    this.#segments.pop();
    this.#lastNumber = empty.number - 1;
    this.#current = undefined;
    if (this.#uncut === empty) this.#uncut = undefined;
    await this.#closeSegment(empty);
  }

  async #makeNamesDurable(): Promise<void> {
    const made = this.#namesMade;
    if (this.#namesDurable >= made) return;
    await this.#orDistrust(() => this.#medium.syncDirectory(this.#directory));
    this.#namesDurable = Math.max(this.#namesDurable, made);
  }

  #sync(): Promise<void> {
    if (!this.failed && this.#durableSequence === this.#lastSequence) return Promise.resolve();
    this.#nextSync ??= this.#syncAfter(this.#syncing);
    return this.#nextSync;
  }

  async #syncAfter(running: Promise<void> | undefined): Promise<void> {
    // Its failure is told to those who wait for it.
    await running?.catch(() => undefined);
    this.#syncing = this.#nextSync;
    this.#nextSync = undefined;
    try {
      await this.#syncNow();
    } finally {
      this.#syncing = undefined;
    }
  }

  async #syncNow(): Promise<void> {
    if (this.failed) {
      await this.#turns.run(() => this.#makeGood());
      if (this.#durableSequence === this.#lastSequence) return;
    }
    await this.#syncTurns.run(() => this.#syncSegments());
  }

  async #syncSegments(): Promise<void> {
    // The kernel told another of a failure, and tells it once.
    if (this.#suspect) throw errno('EIO', `${this.#directory}: the journal's sync failed`);
    const upTo = this.#lastSequence;
    const dirty = this.#segments
      .filter(({ size, durableSize }) => size > durableSize)
      .map((segment) => ({ segment, size: segment.size }));
    for (const { segment } of dirty) {
      if (!segment.closed) await this.#orDistrust(() => segment.file.sync());
    }
    await this.#makeNamesDurable();
    if (this.#suspect) throw errno('EIO', `${this.#directory}: the journal's sync failed`);
    for (const { segment, size } of dirty) segment.durableSize = Math.max(segment.durableSize, size);
    this.#durableSequence = Math.max(this.#durableSequence, upTo);
    this.#syncsTotal++;
  }

  /** A record that decides something: durable, or not there. */
  #mark(kind: Kind, payload: Uint8Array): Promise<number> {
    return this.#exclusively(async () => {
      const segment = await this.#write([{ kind, offset: 0, payload }]);
      try {
        await this.#syncTurns.run(() => this.#syncSegments());
      } catch (cause) {
        segment.size -= RECORD_HEADER_BYTES + payload.byteLength;
        this.#lastSequence--;
        this.#uncut = segment;
        // Whether or not it can be cut now: the next call tries again before it does anything.
        await this.#cut(segment).catch(() => undefined);
        throw cause;
      }
      return this.#endSegment();
    });
  }

  async #drop(through: number): Promise<void> {
    for (;;) {
      const oldest = this.#segments[0];
      if (oldest === undefined || oldest.number > through) return;
      if (this.#current === oldest) this.#current = undefined;
      await this.#remove(oldest.path);
      // Each durably, before the next: at no time is one missing between two others.
      await this.#medium.syncDirectory(this.#directory);
      this.#segments.shift();
      await this.#closeSegment(oldest);
    }
  }

  async #closeSegment(segment: Segment): Promise<void> {
    segment.closed = true;
    await segment.file.close();
  }

  async #remove(path: string): Promise<void> {
    try {
      await this.#medium.remove(path);
    } catch (cause) {
      // It is what an attempt before this one did.
      if (!isGone(cause)) throw cause;
    }
  }

  async #close(): Promise<void> {
    await this.#turns.run(async () => undefined);
    try {
      await this.#sync();
    } catch (cause) {
      // Somebody took the whole directory away: there is nothing left to make durable.
      if (!isGone(cause)) throw cause;
    } finally {
      for (const segment of this.#segments) await this.#closeSegment(segment);
    }
  }

  #closedError(): MlfsError {
    return new MlfsError('ERR_MLFS_IO', `${this.#directory}: the journal was closed`, {
      path: this.#directory,
    });
  }
}

function bytesOf(records: readonly NewRecord[]): number {
  return records.reduce((sum, { payload }) => sum + RECORD_HEADER_BYTES + payload.byteLength, 0);
}

function isGone(cause: unknown): boolean {
  return cause instanceof MlfsError && cause.code === 'ERR_MLFS_NOT_FOUND';
}
