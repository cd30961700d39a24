/**
 * The records of one segment in order, a part at a time and read ahead: in native threads where the addon can reach the file, otherwise here.
 * A part is a table of numbers, one row for each record, so that a journal of small records takes little memory. A scan only finds whole
 * records; what they mean, and why there is none at some place, is for the caller to decide.
 */
import type { MediumFile } from '../medium.ts';
import { loadNative } from '../native.ts';
import { type FoundRecord, RecordReader } from './record-reader.ts';

/** Where the numbers of a record are in its row. `batch` and `durable` are those of RecordHeader. */
export const ROW = { length: 0, kind: 1, sequence: 2, offset: 3, batch: 4, durable: 5 } as const;
export const ROW_FIELDS = 6;

/** Whole records that follow each other. */
export interface ScannedRecords {
  readonly rows: Float64Array;
  /** Offset after the last of them; the scan's start if there are none. */
  readonly end: number;
}

export interface ScanLimits {
  readonly records: number;
  /** The last record may extend beyond it. */
  readonly bytes: number;
}

/** What one part may hold: some 10 ms of work for this thread, or for a native one. */
const PART: ScanLimits = { records: 8192, bytes: 64 * 1024 * 1024 };

export class RecordScan {
  readonly #file: MediumFile;
  readonly #size: number;
  readonly #stopSequence: number;
  readonly #reader: RecordReader;
  /** The part that begins at `from` and is read ahead. */
  #ahead: { readonly from: number; readonly part: Promise<ScannedRecords> } | undefined;

  /** `stopSequence`: nothing is read from the record with this sequence number on. */
  constructor(file: MediumFile, size: number, stopSequence: number) {
    this.#file = file;
    this.#size = size;
    this.#stopSequence = stopSequence;
    this.#reader = new RecordReader(file, size);
  }

  /** Begins to read the part at `from`, if that takes a thread of its own. */
  readAhead(from: number): void {
    if (this.#ahead?.from === from || from >= this.#size) return;
    const part = scanNatively(this.#file, from, this.#size, PART, this.#stopSequence);
    if (part === undefined) return;
    // Whoever asks for the part gets its failure.
    part.catch(() => undefined);
    this.#ahead = { from, part };
  }

  /** The records from `from` on, at least one if the one there is whole. */
  async partAt(from: number): Promise<ScannedRecords> {
    this.readAhead(from);
    const ahead = this.#ahead?.from === from ? this.#ahead.part : undefined;
    this.#ahead = undefined;
    const part =
      (await ahead?.catch(() => undefined)) ?? (await scanHere(this.#reader, from, PART, this.#stopSequence));
    if (part.end > from) this.readAhead(part.end);
    return part;
  }

  /** The record at an offset, or why there is none. */
  async recordAt(at: number): Promise<FoundRecord | string> {
    return this.#reader.recordAt(at);
  }
}

/** Undefined where the addon was not built, or cannot reach the file. */
export function scanNatively(
  file: MediumFile,
  from: number,
  to: number,
  { records, bytes }: ScanLimits,
  stopSequence: number,
): Promise<ScannedRecords> | undefined {
  const addon = loadNative();
  if (typeof addon?.scanRecords !== 'function' || file.descriptor === undefined) return undefined;
  // What it throws at its beginning, where it duplicates the descriptor, is a failure of the scan like any other.
  const scan = async (fd: number) => addon.scanRecords(fd, from, to, records, bytes, stopSequence);
  return scan(file.descriptor());
}

/** The same on this thread. Throws what reading the file throws. */
export async function scanHere(
  reader: RecordReader,
  from: number,
  { records, bytes }: ScanLimits,
  stopSequence: number,
): Promise<ScannedRecords> {
  const rows: number[] = [];
  let at = from;
  for (let count = 0; count < records && at < reader.size && at - from < bytes; count++) {
    const found = reader.recordAt(at);
    // There may be thousands of small records: a promise for each would cost more than the record.
    const record = found instanceof Promise ? await found : found;
    if (typeof record === 'string') break;
    rows.push(...rowOf(record));
    at = record.end;
    if (record.sequence + 1 >= stopSequence) break;
  }
  return { rows: Float64Array.from(rows), end: at };
}

export function rowOf({ length, kind, sequence, offset, batch, durable }: FoundRecord): readonly number[] {
  return [length, kind, sequence, offset, batch, durable];
}
