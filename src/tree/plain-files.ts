/**
 * The files of a writable mount that are one run of the image, ordered by their place in it: an update asks which of them show its bytes.
 * They are disjoint, so that this is a bisection; a file that overlaps one before it is not among them.
 */
import type { FileRange, PlainFiles } from '../inode.ts';
import type { Image } from '../storage/image.ts';
import type { DirtyRange } from '../storage/overlay.ts';
import { partitionPoint } from '../storage/partition-point.ts';

type Numbers = readonly number[] | Float64Array | Uint32Array;

/** Files in any order. */
export interface PlainRuns {
  readonly starts: Numbers;
  readonly ends: Numbers;
  readonly nodeids: Numbers;
}

export class PlainFilesByPlace implements PlainFiles {
  readonly #image: Image;
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  readonly #nodeids: Uint32Array;
  /** A bit for each nodeid from the first to the last: asked once for each inode of a mount. */
  readonly #known: Uint8Array;
  readonly #first: number;

  constructor(image: Image, runs: PlainRuns) {
    const { starts, ends, nodeids } = runs;
    const disjoint = ascending(starts);
    let count = 0;
    let furthest = 0;
    for (const at of disjoint) {
      if ((starts[at] as number) < furthest) continue;
      furthest = ends[at] as number;
      disjoint[count++] = at;
    }
    this.#image = image;
    this.#starts = new Float64Array(count);
    this.#ends = new Float64Array(count);
    this.#nodeids = new Uint32Array(count);
    let first = Number.POSITIVE_INFINITY;
    let last = 0;
    for (let index = 0; index < count; index++) {
      const at = disjoint[index] as number;
      const nodeid = nodeids[at] as number;
      this.#starts[index] = starts[at] as number;
      this.#ends[index] = ends[at] as number;
      this.#nodeids[index] = nodeid;
      first = Math.min(first, nodeid);
      last = Math.max(last, nodeid);
    }
    this.#first = first;
    this.#known = new Uint8Array(count === 0 ? 0 : Math.ceil((last - first + 1) / 8));
    for (const nodeid of this.#nodeids) {
      const bit = nodeid - first;
      this.#known[bit >>> 3] = (this.#known[bit >>> 3] as number) | (1 << (bit & 7));
    }
  }

  has(nodeid: number): boolean {
    const bit = nodeid - this.#first;
    if (!(bit >= 0)) return false;
    return ((this.#known[Math.floor(bit / 8)] ?? 0) & (1 << (bit & 7))) !== 0;
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
function ascending(numbers: Numbers): Uint32Array {
  const order = new Uint32Array(numbers.length);
  let isSorted = true;
  for (let at = 0; at < order.length; at++) {
    order[at] = at;
    if (at > 0 && (numbers[at] as number) < (numbers[at - 1] as number)) isSorted = false;
  }
  return isSorted ? order : order.sort((a, b) => (numbers[a] as number) - (numbers[b] as number));
}
