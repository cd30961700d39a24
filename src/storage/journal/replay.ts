/**
 * Reading the journal of a dead process. Nothing is changed here.
 *
 * A record that is not whole ends the journal: a torn tail, which a crash leaves behind. But what somebody knew to be durable must be there:
 * when a later record says so of it, or when a segment between two others is gone, that is damage, and replay refuses. Without such
 * a witness what lies behind the bad record is part of the tail: a power loss keeps and drops the unsynced as it likes.
 */
import { MlfsError } from '../../errors.ts';
import type { Medium, MediumFile } from '../medium.ts';
import type { Placement } from '../overlay.ts';
import { KIND, RECORD_HEADER_BYTES } from './record.ts';
import { type FoundRecord, RecordReader } from './record-reader.ts';
import {
  decodeSegmentHeader,
  FORMAT_VERSION,
  mayBeSegment,
  SEGMENT_HEADER_BYTES,
  segmentNumber,
  segmentPath,
} from './segment.ts';

/** What replay finds, in the order in which it happened; batches are resolved. */
export interface JournalVisitor {
  write(offset: number, length: number, placement: Placement): void;
  /** A commit was decided: everything before it belongs into the base. `note` is what `markCommit` was given. */
  commit(note: string, segment: number): void;
  /** Everything before is superseded. */
  discard(): void;
}

export interface ReplayedSegment {
  readonly number: number;
  readonly path: string;
  readonly file: MediumFile;
  readonly firstSequence: number;
  /** Up to the last whole record that counts. */
  readonly size: number;
  /** Nothing of it counts: it is part of the torn tail. */
  readonly torn: boolean;
  /** Of the file. */
  readonly fileSize: number;
  /** Whether a commit mark or a discard ends it. */
  readonly ended: boolean;
}

export interface Replayed {
  readonly segments: readonly ReplayedSegment[];
  readonly lastSequence: number;
  /** Every record up to here was known to be durable. */
  readonly durable: number;
  /** The last segment whose records a discard superseded; 0 for none. */
  readonly supersededThrough: number;
  /** Bytes of the torn tail, over all segments. */
  readonly tornBytes: number;
}

interface OpenSegment {
  readonly number: number;
  readonly path: string;
  readonly file: MediumFile;
  readonly fileSize: number;
  /** Undefined when its header is bad, for that reason. */
  readonly firstSequence: number | undefined;
  readonly reason: string;
  /** How many segments right before it count for nothing. */
  readonly replaced: number;
}

interface BatchPart {
  readonly offset: number;
  readonly length: number;
  readonly placement: Placement;
}

/** A million entries' checksums take less. */
const MAX_NOTE_BYTES = 64 * 1024 * 1024;
/** Parts of batches that wait for their ends, some 800 MB: a replaced tensor of 1 TiB has a million. */
const MAX_WAITING_PARTS = 8 * 1024 * 1024;

/** Opens and replays; the files stay open, and are the caller's. Throws ERR_MLFS_RECOVERY. */
export async function replay(
  medium: Medium,
  directory: string,
  how: 'read' | 'write',
  visitor: JournalVisitor,
): Promise<Replayed> {
  const segments: OpenSegment[] = [];
  try {
    for (const number of await segmentNumbers(medium, directory)) {
      segments.push(await openSegment(medium, directory, number, how));
    }
    return await new Replay(directory, segments, visitor).run();
  } catch (cause) {
    for (const { file } of segments) await file.close();
    throw cause;
  }
}

async function segmentNumbers(medium: Medium, directory: string): Promise<number[]> {
  const numbers = (await medium.list(directory))
    .map(segmentNumber)
    .filter((number) => number !== undefined)
    .sort((a, b) => a - b);
  for (const [index, number] of numbers.entries()) {
    const before = numbers[index - 1];
    if (before === undefined || number === before + 1) continue;
    throw damaged(directory, segmentPath(directory, before + 1), 'is missing, but there are later segments');
  }
  return numbers;
}

async function openSegment(
  medium: Medium,
  directory: string,
  number: number,
  how: 'read' | 'write',
): Promise<OpenSegment> {
  const path = segmentPath(directory, number);
  const file = await medium.open(path, how);
  try {
    if (!(await mayBeSegment(file))) {
      throw new MlfsError('ERR_MLFS_RECOVERY', `${path}: is not a segment of a journal of MLFS`, {
        path,
        advice: `Move it away if it is not from MLFS; otherwise restore ${directory} from a copy.`,
      });
    }
    const fileSize = await file.size();
    const header = decodeSegmentHeader(await file.read(0, Math.min(fileSize, SEGMENT_HEADER_BYTES)), number);
    const opened = { number, path, file, fileSize };
    if (typeof header === 'string')
      return { ...opened, firstSequence: undefined, reason: header, replaced: 0 };
    const { version, firstSequence, replaced } = header;
    if (version === FORMAT_VERSION) return { ...opened, firstSequence, reason: '', replaced };
    throw new MlfsError(
      'ERR_MLFS_RECOVERY',
      `${path}: is of version ${version} of the journal's format; this mlfs knows version ${FORMAT_VERSION}`,
      { path, advice: 'Use the version of mlfs that wrote it.' },
    );
  } catch (cause) {
    await file.close();
    throw cause;
  }
}

class Replay {
  readonly #directory: string;
  readonly #segments: readonly OpenSegment[];
  readonly #visitor: JournalVisitor;
  readonly #batches = new Map<number, BatchPart[]>();
  #waitingParts = 0;
  readonly #replayed: ReplayedSegment[] = [];
  /** Of the next record; undefined while nothing says what it is. */
  #expected: number | undefined;
  #durable = 0;
  #supersededThrough = 0;

  constructor(directory: string, segments: readonly OpenSegment[], visitor: JournalVisitor) {
    this.#directory = directory;
    this.#segments = segments;
    this.#visitor = visitor;
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

  /** Returns where and why it stopped before its end. */
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
    const reader = new RecordReader(segment.file, fileSize);
    let at = SEGMENT_HEADER_BYTES;
    let ended = false;
    let reason: string | undefined;
    while (at < fileSize && this.#expected < stop) {
      const found = reader.recordAt(at);
      // Small records by the thousand: a promise for each would cost more than they do.
      const record = found instanceof Promise ? await found : found;
      if (typeof record === 'string') reason = record;
      else if (record.sequence !== this.#expected) {
        reason = `it is record ${record.sequence}, and ${this.#expected} was to come`;
      }
      if (typeof record === 'string' || reason !== undefined) break;
      this.#expected++;
      this.#durable = Math.max(this.#durable, record.durable);
      if (record.kind === KIND.commit) {
        if (record.length > MAX_NOTE_BYTES) {
          throw damaged(
            this.#directory,
            segment.path,
            `has a commit mark of ${record.length} bytes at byte ${at}`,
          );
        }
        const note = await reader.payload(record);
        this.#visitor.commit(note.toString(), segment.number);
      } else {
        this.#visit(record, segment);
      }
      ended = record.kind === KIND.commit || record.kind === KIND.discard;
      at = record.end;
    }
    this.#replayed.push({ ...segment, firstSequence, size: at, torn: false, ended });
    return reason === undefined ? undefined : { at, reason, tornBytes: fileSize - at };
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

  #visit(record: FoundRecord, { file, number, path }: OpenSegment): void {
    switch (record.kind) {
      case KIND.write: {
        const placement = { file, fileOffset: record.at + RECORD_HEADER_BYTES, segment: number };
        if (record.batch === 0) this.#visitor.write(record.offset, record.length, placement);
        else {
          this.#partsOf(record.batch).push({ offset: record.offset, length: record.length, placement });
          this.#waitingParts++;
          if (this.#waitingParts > MAX_WAITING_PARTS) {
            throw damaged(
              this.#directory,
              path,
              `has more than ${MAX_WAITING_PARTS} records that wait for their end`,
            );
          }
        }
        return;
      }
      case KIND.batchEnd:
        for (const part of this.#partsOf(record.batch)) {
          this.#visitor.write(part.offset, part.length, part.placement);
          this.#waitingParts--;
        }
        this.#batches.delete(record.batch);
        return;
      case KIND.discard:
        this.#batches.clear();
        this.#waitingParts = 0;
        this.#supersededThrough = number;
        this.#visitor.discard();
        return;
    }
  }

  #partsOf(batch: number): BatchPart[] {
    const parts = this.#batches.get(batch) ?? [];
    this.#batches.set(batch, parts);
    return parts;
  }

  /** Throws when a record behind the bad one shows that it was durable once. */
  async #refuseDamage(index: number, at: number, reason: string): Promise<void> {
    let lost = this.#expected;
    for (const [later, { file, fileSize, number, path }] of this.#segments.entries()) {
      if (later < index) continue;
      const reader = new RecordReader(file, fileSize);
      for await (const witness of reader.wholeRecordsFrom(later === index ? at + 1 : 0)) {
        // With nothing before it, a header was durable for sure when the first record behind it was.
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

function damaged(directory: string, path: string, what: string): MlfsError {
  return new MlfsError('ERR_MLFS_RECOVERY', `${path}: ${what}`, {
    path,
    advice: `Restore ${directory} from a copy, or drop the edits in it: mlfs discard; mlfs mount --read-only shows the file without them.`,
  });
}
