import { partitionPoint } from './partition-point.ts';

/** Bytes of a file, as offset and length. */
export interface FileSpan {
  readonly offset: number;
  readonly length: number;
}

/** A part of a run of bytes, and whether the ranges cover it. */
export interface RangePart {
  readonly start: number;
  /** Excluded. */
  readonly end: number;
  readonly inside: boolean;
}

/** A set of bytes of a file: ranges that are sorted and merged once, and then looked up by binary search. */
export class ByteRanges {
  readonly #starts: readonly number[];
  readonly #ends: readonly number[];

  /** The ranges may overlap and come in any order. */
  constructor(ranges: Iterable<FileSpan>) {
    const starts: number[] = [];
    const ends: number[] = [];
    for (const { offset, length } of [...ranges].sort((a, b) => a.offset - b.offset)) {
      if (length === 0) continue;
      const last = ends.length - 1;
      if (last >= 0 && offset <= (ends[last] as number)) {
        ends[last] = Math.max(ends[last] as number, offset + length);
      } else {
        starts.push(offset);
        ends.push(offset + length);
      }
    }
    this.#starts = starts;
    this.#ends = ends;
  }

  /** Whether every byte of [start, end) is in the set. */
  contains(start: number, end: number): boolean {
    const index = this.#firstEndingAfter(start);
    return start >= end || ((this.#starts[index] ?? end) <= start && (this.#ends[index] as number) >= end);
  }

  /** The parts of [start, end), ascending, that lie inside and outside of the set. */
  *parts(start: number, end: number): Iterable<RangePart> {
    let at = start;
    for (let index = this.#firstEndingAfter(start); at < end; index++) {
      const from = Math.min(end, this.#starts[index] ?? end);
      if (at < from) yield { start: at, end: from, inside: false };
      at = Math.max(at, from);
      const to = Math.min(end, this.#ends[index] ?? end);
      if (at < to) yield { start: at, end: to, inside: true };
      at = Math.max(at, to);
    }
  }

  #firstEndingAfter(position: number): number {
    return partitionPoint(this.#ends.length, (index) => (this.#ends[index] as number) > position);
  }
}
