/**
 * The files of a writable mount that are one run of the image, ordered by their place in it: an update asks which of them show its bytes.
 * They are disjoint, so that this is a bisection; a file that overlaps one before it is not among them.
 */
import type { FileRange, PlainFiles } from '../inode.ts';
import type { Image } from '../storage/image.ts';
import type { DirtyRange } from '../storage/overlay.ts';
import { partitionPoint } from '../storage/partition-point.ts';

/** Files in any order. */
export interface PlainRuns {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  readonly nodeids: readonly number[];
}

export class PlainFilesByPlace implements PlainFiles {
  readonly #image: Image;
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  readonly #nodeids: Uint32Array;
  readonly #known: Set<number>;

  constructor(image: Image, runs: PlainRuns) {
    const { starts, ends, nodeids } = runs;
    const disjoint: number[] = [];
    let furthest = 0;
    for (const at of ascending(starts)) {
      if ((starts[at] as number) < furthest) continue;
      furthest = ends[at] as number;
      disjoint.push(at);
    }
    this.#image = image;
    this.#starts = Float64Array.from(disjoint, (at) => starts[at] as number);
    this.#ends = Float64Array.from(disjoint, (at) => ends[at] as number);
    this.#nodeids = Uint32Array.from(disjoint, (at) => nodeids[at] as number);
    this.#known = new Set(this.#nodeids);
  }

  has(nodeid: number): boolean {
    return this.#known.has(nodeid);
  }

  *overlapping(
    image: Image,
    ranges: readonly DirtyRange[],
  ): Generator<{ readonly nodeid: number; readonly ranges: readonly FileRange[] }> {
    if (image !== this.#image) return;
    const starts = this.#starts;
    const ends = this.#ends;
    let runs: FileRange[] = [];
    let of = -1;
    for (const { start, end } of ranges) {
      let at = partitionPoint(ends.length, (index) => (ends[index] as number) > start);
      for (; at < starts.length && (starts[at] as number) < end; at++) {
        if (at !== of) {
          if (of >= 0) yield this.#found(of, runs);
          runs = [];
          of = at;
        }
        const first = starts[at] as number;
        const from = Math.max(start, first);
        runs.push({ offset: from - first, length: Math.min(end, ends[at] as number) - from });
      }
    }
    if (of >= 0) yield this.#found(of, runs);
  }

  #found(at: number, runs: FileRange[]) {
    return { nodeid: this.#nodeids[at] as number, ranges: runs.length > RUNS_AT_MOST ? WHOLE_FILE : runs };
  }
}

/** More runs than this count as the whole file: the kernel is told about pages, and not a thousand times. */
const RUNS_AT_MOST = 64;
const WHOLE_FILE: readonly FileRange[] = [{ offset: 0, length: 0 }];

/** Indexes of the numbers, the smallest number first. Real checkpoints have them in this order. */
function ascending(numbers: readonly number[]): Uint32Array {
  const order = new Uint32Array(numbers.length).map((_, index) => index);
  const isSorted = numbers.every((number, at) => at === 0 || (numbers[at - 1] as number) <= number);
  return isSorted ? order : order.sort((a, b) => (numbers[a] as number) - (numbers[b] as number));
}
