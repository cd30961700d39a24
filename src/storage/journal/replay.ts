/**
 * Reads the journal of a dead process. Nothing is changed here.
 *
 * A record that is not whole ends the journal: it is a torn tail, which a crash leaves behind. But what was known to be durable must be
 * there. When a later record says so, or when a segment between two others is missing, that is damage, and replay refuses. Without such
 * evidence everything behind the bad record is part of the tail, because a power loss keeps or drops unsynced bytes in any order.
 */
import type { Medium, MediumFile } from '../medium.ts';
import type { Placement } from '../overlay.ts';
import { damaged, type OpenSegment, openSegments } from './open-segments.ts';
import { KIND, RECORD_HEADER_BYTES } from './record.ts';
import { RecordReader } from './record-reader.ts';
import { RecordScan, ROW, ROW_FIELDS, rowOf, type ScannedRecords } from './record-scan.ts';
import { ReplayedBatches } from './replayed-batches.ts';
import { SEGMENT_HEADER_BYTES } from './segment.ts';

/** Receives what replay finds, in the order in which it happened; batches are resolved. */
export interface JournalVisitor {
  write(offset: number, length: number, placement: Placement): void;
  /** A commit was decided: everything before it belongs in the base. `note` is what `markCommit` was given. */
  commit(note: string, segment: number): void;
  /** Everything before it is superseded. */
  discard(): void;
}

export interface ReplayedSegment {
  readonly number: number;
  readonly path: string;
  readonly file: MediumFile;
  readonly firstSequence: number;
  /** Offset after the last whole record that counts. */
  readonly size: number;
  /** None of its records count: it is part of the torn tail. */
  readonly torn: boolean;
  /** Size of the file. */
  readonly fileSize: number;
  /** Whether a commit mark or a discard ends it. */
  readonly ended: boolean;
}

export interface Replayed {
  readonly segments: readonly ReplayedSegment[];
  readonly lastSequence: number;
  /** Every record up to here was known to be durable. */
  readonly durable: number;
  /** Number of the last segment whose records a discard superseded; 0 for none. */
  readonly supersededThrough: number;
  /** Size of the torn tail, over all segments. */
  readonly tornBytes: number;
}

/** More than the checksums of a million entries take. */
const MAX_NOTE_BYTES = 64 * 1024 * 1024;
/** Segments that are scanned at a time: as many as libuv has threads. */
const SEGMENTS_AT_ONCE = 4;

/** Opens and replays the segments; the files stay open and the caller closes them. Throws ERR_MLFS_RECOVERY. */
export async function replay(
  medium: Medium,
  directory: string,
  how: 'read' | 'write',
  visitor: JournalVisitor,
): Promise<Replayed> {
  const segments: OpenSegment[] = [];
  try {
    await openSegments(medium, directory, how, segments);
    return await new Replay(directory, segments, visitor).run();
  } catch (cause) {
    for (const { file } of segments) await file.close();
    throw cause;
  }
}

class Replay {
  readonly #directory: string;
  readonly #segments: readonly OpenSegment[];
  readonly #visitor: JournalVisitor;
  readonly #batches: ReplayedBatches;
  readonly #replayed: ReplayedSegment[] = [];
  /** By index of the segment: the scans that have begun. */
  readonly #scans = new Map<number, RecordScan>();
  /** Sequence number of the next record; undefined while it is unknown. */
  #expected: number | undefined;
  #durable = 0;
  #supersededThrough = 0;

  constructor(directory: string, segments: readonly OpenSegment[], visitor: JournalVisitor) {
    this.#directory = directory;
    this.#segments = segments;
    this.#visitor = visitor;
    this.#batches = new ReplayedBatches(directory);
  }

  async run(): Promise<Replayed> {
    this.#expected = this.#segments.find((_, at) => !this.#isSuperseded(at))?.firstSequence;
    let tornBytes = 0;
    let index = 0;
    for (; index < this.#segments.length && tornBytes === 0; index++) {
      const bad = await this.#replaySegment(index);
      if (bad === undefined) continue;
      await this.#refuseDamage(index, bad.at, bad.reason);
      tornBytes = bad.tornBytes;
    }
    // Nothing behind a torn tail counts.
    for (; index < this.#segments.length; index++) {
      const segment = this.#segments[index] as OpenSegment;
      tornBytes += segment.fileSize;
      this.#replayed.push({ ...segment, firstSequence: 0, size: 0, torn: true, ended: true });
    }
    return {
      segments: this.#replayed,
      lastSequence: (this.#expected ?? 1) - 1,
      durable: this.#durable,
      supersededThrough: this.#supersededThrough,
      tornBytes,
    };
  }

  /** Returns where and why it stopped before the segment's end. */
  async #replaySegment(
    index: number,
  ): Promise<{ at: number; reason: string; tornBytes: number } | undefined> {
    const segment = this.#segments[index] as OpenSegment;
    const { firstSequence, fileSize } = segment;
    if (this.#isSuperseded(index)) {
      const firstRewritten = this.#rewrittenFrom(index);
      this.#replayed.push({
        ...segment,
        firstSequence: firstRewritten,
        size: fileSize,
        torn: false,
        ended: true,
      });
      return undefined;
    }
    if (firstSequence === undefined || (this.#expected !== undefined && firstSequence > this.#expected)) {
      this.#replayed.push({ ...segment, firstSequence: 0, size: 0, torn: true, ended: true });
      const reason =
        firstSequence === undefined
          ? segment.reason
          : `it begins with record ${firstSequence}, and the one before it ends with ${(this.#expected as number) - 1}`;
      return { at: 0, reason, tornBytes: Math.max(1, fileSize) };
    }
    this.#expected ??= firstSequence;
    const stop = this.#rewrittenFrom(index);
    const scan = this.#scan(index);
    this.#scans.delete(index);
    const progress = { at: SEGMENT_HEADER_BYTES, ended: false };
    let reason: string | undefined;
    while (reason === undefined && progress.at < fileSize && this.#expected < stop) {
      const part = await this.#wholeRecords(scan, progress.at);
      reason = typeof part === 'string' ? part : await this.#replayPart(part.rows, segment, stop, progress);
    }
    const { at, ended } = progress;
    this.#replayed.push({ ...segment, firstSequence, size: at, torn: false, ended });
    return reason === undefined ? undefined : { at, reason, tornBytes: fileSize - at };
  }

  /** The scan of a segment. It and those of the next segments are read ahead. */
  #scan(index: number): RecordScan {
    for (let later = index; later < Math.min(index + SEGMENTS_AT_ONCE, this.#segments.length); later++) {
      if (this.#scans.has(later) || this.#isSuperseded(later)) continue;
      const { file, fileSize } = this.#segments[later] as OpenSegment;
      const scan = new RecordScan(file, fileSize, this.#rewrittenFrom(later));
      scan.readAhead(SEGMENT_HEADER_BYTES);
      this.#scans.set(later, scan);
    }
    return this.#scans.get(index) as RecordScan;
  }

  /** At least one record, or why there is none. */
  async #wholeRecords(scan: RecordScan, at: number): Promise<ScannedRecords | string> {
    const part = await scan.partAt(at);
    if (part.rows.length > 0) return part;
    const record = await scan.recordAt(at);
    return typeof record === 'string' ? record : { rows: Float64Array.from(rowOf(record)), end: record.end };
  }

  /** Returns why it stopped before the last of these records. `progress` goes along. */
  async #replayPart(
    rows: Float64Array,
    segment: OpenSegment,
    stop: number,
    progress: { at: number; ended: boolean },
  ): Promise<string | undefined> {
    for (let row = 0; row < rows.length && (this.#expected as number) < stop; row += ROW_FIELDS) {
      const sequence = rows[row + ROW.sequence] as number;
      const kind = rows[row + ROW.kind] as number;
      const length = rows[row + ROW.length] as number;
      if (sequence !== this.#expected) return `it is record ${sequence}, and ${this.#expected} was to come`;
      this.#expected++;
      this.#durable = Math.max(this.#durable, rows[row + ROW.durable] as number);
      const { at } = progress;
      if (kind === KIND.commit) this.#visitor.commit(await this.#note(segment, at, length), segment.number);
      else this.#visit(rows, row, at, segment);
      progress.ended = kind === KIND.commit || kind === KIND.discard;
      progress.at = at + RECORD_HEADER_BYTES + length;
    }
    return undefined;
  }

  async #note({ file, path }: OpenSegment, at: number, length: number): Promise<string> {
    if (length > MAX_NOTE_BYTES) {
      throw damaged(this.#directory, path, `has a commit mark of ${length} bytes at byte ${at}`);
    }
    return (await file.read(at + RECORD_HEADER_BYTES, length)).toString();
  }

  /** Whether all of its records were rewritten into a later segment. */
  #isSuperseded(index: number): boolean {
    return this.#segments.some(({ replaced }, later) => later > index && later - replaced <= index);
  }

  /** The sequence number from which on a later segment has every record, rewritten. */
  #rewrittenFrom(index: number): number {
    return this.#segments
      .slice(index + 1)
      .reduce(
        (lowest, { firstSequence }) => Math.min(lowest, firstSequence ?? lowest),
        Number.POSITIVE_INFINITY,
      );
  }

  /** The record at `at` of its segment, whose numbers begin at `row`. */
  #visit(rows: Float64Array, row: number, at: number, { file, number, path }: OpenSegment): void {
    const batch = rows[row + ROW.batch] as number;
    switch (rows[row + ROW.kind]) {
      case KIND.write: {
        const offset = rows[row + ROW.offset] as number;
        const length = rows[row + ROW.length] as number;
        const placement = { file, fileOffset: at + RECORD_HEADER_BYTES, segment: number };
        if (batch === 0) this.#visitor.write(offset, length, placement);
        else this.#batches.add(batch, { offset, length, placement }, path);
        return;
      }
      case KIND.batchEnd:
        for (const { offset, length, placement } of this.#batches.end(batch)) {
          this.#visitor.write(offset, length, placement);
        }
        return;
      case KIND.discard:
        this.#batches.clear();
        this.#supersededThrough = number;
        this.#visitor.discard();
        return;
    }
  }

  /** Throws when a record behind the bad one shows that the bad one was durable. */
  async #refuseDamage(index: number, at: number, reason: string): Promise<void> {
    let lost = this.#expected;
    for (const [later, { file, fileSize, number, path }] of this.#segments.entries()) {
      if (later < index) continue;
      const reader = new RecordReader(file, fileSize);
      for await (const witness of reader.wholeRecordsFrom(later === index ? at + 1 : 0)) {
        // A header with nothing before it was certainly durable when the first record behind it was.
        lost ??= witness.sequence;
        if (witness.durable < lost) continue;
        const segment = this.#segments[index] as OpenSegment;
        throw damaged(
          this.#directory,
          segment.path,
          `is damaged at byte ${at}: ${reason}. Record ${witness.sequence} at byte ${witness.at} of ` +
            `${number === segment.number ? 'it' : path} was written when this one was safe on disk`,
        );
      }
    }
  }
}
