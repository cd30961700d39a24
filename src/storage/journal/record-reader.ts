import { crc32c } from '../crc32c.ts';
import type { MediumFile } from '../medium.ts';
import { CHECKED_FROM, type DecodedHeader, decodeHeader, MARKER, RECORD_HEADER_BYTES } from './record.ts';

/** Bytes of a segment that are in memory at a time. */
const WINDOW_BYTES = 1024 * 1024;
const WRONG = 'its checksum is wrong';

/** A complete record. */
export interface FoundRecord extends DecodedHeader {
  /** Offset of its header in the segment. */
  readonly at: number;
  /** Offset of the next record. */
  readonly end: number;
}

/** Reads the records of one segment through a window, whatever their size. */
export class RecordReader {
  readonly #file: MediumFile;
  readonly size: number;
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;

  constructor(file: MediumFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  /** The record at an offset, or why there is none. Synchronous, without a promise, when the window holds all of it. */
  recordAt(at: number): FoundRecord | string | Promise<FoundRecord | string> {
    if (!this.#holds(at, RECORD_HEADER_BYTES)) return this.#recordAfterLoading(at);
    const header = decodeHeader(this.#window, at - this.#windowAt);
    if (typeof header === 'string') return header;
    const end = at + RECORD_HEADER_BYTES + header.length;
    if (end > this.size) return `its ${header.length} bytes are more than the segment has`;
    const checked = at + CHECKED_FROM;
    const slice = this.#inWindow(checked, end - checked);
    const crc = crc32c(slice);
    const record = { ...header, at, end };
    if (checked + slice.byteLength === end) return crc === header.crc ? record : WRONG;
    return this.#checkRest(record, checked + slice.byteLength, crc);
  }

  async #recordAfterLoading(at: number): Promise<FoundRecord | string> {
    if (at + RECORD_HEADER_BYTES > this.size) return `the segment ends ${this.size - at} bytes later`;
    await this.#load(at);
    return this.recordAt(at);
  }

  /** The checksum of a record that extends beyond the window. */
  async #checkRest(record: FoundRecord, from: number, before: number): Promise<FoundRecord | string> {
    let crc = before;
    for (let at = from; at < record.end; ) {
      if (!this.#holds(at, 1)) await this.#load(at);
      const slice = this.#inWindow(at, record.end - at);
      crc = crc32c(slice, crc);
      at += slice.byteLength;
    }
    return crc === record.crc ? record : WRONG;
  }

  /** Every whole record from an offset on, wherever it begins. */
  async *wholeRecordsFrom(start: number): AsyncIterable<FoundRecord> {
    let at = start;
    while (at + RECORD_HEADER_BYTES <= this.size) {
      if (!this.#holds(at, MARKER.length)) await this.#load(at);
      const found = this.#inWindow(at, WINDOW_BYTES).indexOf(MARKER);
      if (found < 0) {
        // A marker may begin in the last bytes of the window.
        at = Math.max(at + 1, this.#windowAt + this.#window.byteLength - MARKER.length + 1);
        continue;
      }
      at += found;
      const record = await this.recordAt(at);
      if (typeof record === 'string') {
        at++;
        continue;
      }
      yield record;
      at = record.end;
    }
  }

  #holds(at: number, length: number): boolean {
    return at >= this.#windowAt && at + length <= this.#windowAt + this.#window.byteLength;
  }

  /** Reads at most `length` bytes. */
  #inWindow(at: number, length: number): Buffer {
    return this.#window.subarray(at - this.#windowAt, at - this.#windowAt + length);
  }

  async #load(at: number): Promise<void> {
    this.#window = await this.#file.read(at, Math.min(WINDOW_BYTES, this.size - at));
    this.#windowAt = at;
  }
}
