/**
 * Finds the files that show given bytes of an image. This is asked at every write, and a mount has tens of thousands of files, and exports
 * with thousands of extents. For each image, an inode is filed under the buckets that the span of its extents touches, at the lowest level
 * whose buckets are large enough that these are few. A range is looked up in its buckets of every level, and inside an inode by bisection.
 */

import type { FileInode, FileRange } from '../inode.ts';
import type { Content } from '../storage/content.ts';
import { extentLength } from '../storage/extent.ts';
import type { Image } from '../storage/image.ts';
import type { DirtyRange } from '../storage/overlay.ts';

export interface Overlap {
  readonly inode: FileInode;
  /** Never empty. */
  readonly ranges: readonly FileRange[];
}

/** What one inode shows of one image: its runs, by their place in the image. */
interface Shown {
  readonly inode: FileInode;
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  /** The largest end up to each run. */
  readonly reach: Float64Array;
  /** Where each run is in the file; undefined if any byte of the image may be anywhere in it. */
  readonly places: Float64Array | undefined;
  /** Runs of the file that depend on the image without lying in it: checksums. */
  readonly computed: readonly FileRange[];
}

/** 64 KiB; the buckets of each higher level are 64 times as large. */
const SMALLEST_BUCKET = 2 ** 16;
const LEVEL_FACTOR = 64;
const LEVELS = 6;
/** An inode is filed at the lowest level where it touches no more buckets than this. */
const BUCKETS_AN_INODE = 16;
/** Runs of a file that are closer than this are joined: the kernel is told about pages, and not a thousand times. */
const NEAR_BYTES = 1024 * 1024;
/** More runs than this count as the whole file. */
const RUNS_AT_MOST = 64;

const WHOLE_FILE: readonly FileRange[] = [{ offset: 0, length: 0 }];

export class OverlappingInodes {
  readonly #images = new Map<Image, readonly Map<number, Set<Shown>>[]>();
  readonly #shown = new Map<number, readonly (readonly [Image, Shown])[]>();

  /** The images that filed inodes show. */
  get images(): Iterable<Image> {
    return this.#images.keys();
  }

  has(nodeid: number): boolean {
    return this.#shown.has(nodeid);
  }

  add(inode: FileInode): void {
    if (this.#shown.has(inode.nodeid)) return;
    const shown = shownBy(inode);
    this.#shown.set(inode.nodeid, shown);
    for (const [image, entry] of shown) {
      for (const bucket of this.#bucketsOf(image, entry)) bucket.add(entry);
    }
  }

  remove(nodeid: number): void {
    for (const [image, entry] of this.#shown.get(nodeid) ?? []) {
      for (const bucket of this.#bucketsOf(image, entry)) bucket.delete(entry);
    }
    this.#shown.delete(nodeid);
  }

  /** The inodes that show any byte of these ranges, and where. The ranges must be ascending. */
  *overlapping(image: Image, ranges: readonly DirtyRange[]): Generator<Overlap> {
    for (const shown of this.#candidates(image, ranges)) {
      const found = rangesOf(shown, ranges);
      if (found.length > 0) yield { inode: shown.inode, ranges: found };
    }
  }

  #candidates(image: Image, ranges: readonly DirtyRange[]): Set<Shown> {
    const candidates = new Set<Shown>();
    for (const [level, buckets] of (this.#images.get(image) ?? []).entries()) {
      const size = bucketSize(level);
      let next = 0;
      for (const { start, end } of ranges) {
        const last = Math.floor((end - 1) / size);
        const first = Math.max(next, Math.floor(start / size));
        next = Math.max(next, last + 1);
        if (last - first >= buckets.size) {
          for (const [number, bucket] of buckets)
            if (number >= first && number <= last) addAll(candidates, bucket);
        } else {
          for (let number = first; number <= last; number++) addAll(candidates, buckets.get(number) ?? []);
        }
      }
    }
    return candidates;
  }

  *#bucketsOf(image: Image, { starts, reach }: Shown): Generator<Set<Shown>> {
    let levels = this.#images.get(image);
    if (levels === undefined) {
      levels = Array.from({ length: LEVELS }, () => new Map<number, Set<Shown>>());
      this.#images.set(image, levels);
    }
    const start = starts[0] as number;
    const end = reach[reach.length - 1] as number;
    let level = 0;
    while (level < LEVELS - 1 && (end - start) / bucketSize(level) > BUCKETS_AN_INODE) level++;
    const size = bucketSize(level);
    const buckets = levels[level] as Map<number, Set<Shown>>;
    for (let number = Math.floor(start / size); number <= Math.floor((end - 1) / size); number++) {
      let bucket = buckets.get(number);
      if (bucket === undefined) {
        bucket = new Set();
        buckets.set(number, bucket);
      }
      yield bucket;
    }
  }
}

function bucketSize(level: number): number {
  return SMALLEST_BUCKET * LEVEL_FACTOR ** level;
}

function addAll(set: Set<Shown>, more: Iterable<Shown>): void {
  for (const one of more) set.add(one);
}

/** Runs of a file in one image. They are numbers and not objects, because an export has a hundred thousand. */
class Runs {
  #starts: number[] = [];
  #ends: number[] = [];
  #places: number[] = [];
  #ascend = true;

  add(start: number, end: number, place: number): void {
    if (start < (this.#starts.at(-1) ?? 0)) this.#ascend = false;
    this.#starts.push(start);
    this.#ends.push(end);
    this.#places.push(place);
  }

  /** Ordered by their start in the image. */
  sorted(): { starts: Float64Array; ends: Float64Array; places: Float64Array } {
    if (!this.#ascend) {
      const starts = this.#starts;
      const order = Array.from(starts, (_start, index) => index).sort(
        (a, b) => (starts[a] as number) - (starts[b] as number),
      );
      const inOrder = (numbers: readonly number[]) => order.map((index) => numbers[index] as number);
      this.#ends = inOrder(this.#ends);
      this.#places = inOrder(this.#places);
      this.#starts = inOrder(starts);
      this.#ascend = true;
    }
    return {
      starts: new Float64Array(this.#starts),
      ends: new Float64Array(this.#ends),
      places: new Float64Array(this.#places),
    };
  }
}

function shownBy(inode: FileInode): (readonly [Image, Shown])[] {
  const { content } = inode;
  const bytes = content.kind === 'snapshot' ? content.source : content;
  const runs = new Map<Image, Runs>();
  const computed: FileRange[] = [];
  const add = (image: Image, start: number, end: number, place: number) => {
    if (end === start) return;
    let there = runs.get(image);
    if (there === undefined) {
      there = new Runs();
      runs.set(image, there);
    }
    there.add(start, end, place);
  };
  if (bytes?.kind === 'extents') {
    let place = 0;
    for (const extent of bytes.extents) {
      const length = extentLength(extent);
      if (extent.kind === 'image') add(extent.image, extent.offset, extent.offset + length, place);
      else if (extent.kind === 'computed') addRange(computed, place, length);
      place += length;
    }
  } else if (bytes?.kind === 'rendered' && bytes.origin !== undefined) {
    const { image, offset, length } = bytes.origin;
    add(image, offset, offset + length, 0);
  }
  const near = computed.length > RUNS_AT_MOST ? WHOLE_FILE : computed;
  return Array.from(runs, ([image, of]) => [image, shownOf(inode, content, of, near)] as const);
}

function shownOf(inode: FileInode, content: Content, runs: Runs, computed: readonly FileRange[]): Shown {
  const { starts, ends, places } = runs.sorted();
  const reach = new Float64Array(ends.length);
  let furthest = 0;
  for (let index = 0; index < ends.length; index++) {
    furthest = Math.max(furthest, ends[index] as number);
    reach[index] = furthest;
  }
  return {
    inode,
    starts,
    ends,
    reach,
    places: content.kind === 'extents' ? places : undefined,
    computed,
  };
}

/** Where an inode shows bytes of these ranges. */
function rangesOf(shown: Shown, ranges: readonly DirtyRange[]): readonly FileRange[] {
  const { starts, ends, reach, places } = shown;
  const found: FileRange[] = [];
  for (const { start, end } of ranges) {
    for (let run = firstReaching(reach, start); run < starts.length; run++) {
      const runStart = starts[run] as number;
      if (runStart >= end) break;
      const from = Math.max(start, runStart);
      const to = Math.min(end, ends[run] as number);
      if (from >= to) continue;
      if (places === undefined) return WHOLE_FILE;
      found.push({ offset: (places[run] as number) + from - runStart, length: to - from });
    }
  }
  if (found.length === 0) return found;
  return shown.computed === WHOLE_FILE ? WHOLE_FILE : merged([...found, ...shown.computed]);
}

/** Index of the first run up to which a run ends after `start`. */
function firstReaching(reach: Float64Array, start: number): number {
  let low = 0;
  let high = reach.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((reach[middle] as number) > start) high = middle;
    else low = middle + 1;
  }
  return low;
}

function merged(ranges: FileRange[]): readonly FileRange[] {
  const result: FileRange[] = [];
  for (const { offset, length } of ranges.sort((a, b) => a.offset - b.offset)) {
    addRange(result, offset, length);
  }
  return result.length > RUNS_AT_MOST ? WHOLE_FILE : result;
}

/** Appends the run, or joins it to the last one if they are close. */
function addRange(ranges: FileRange[], offset: number, length: number): void {
  const last = ranges.at(-1);
  const lastEnd = last === undefined ? 0 : last.offset + last.length;
  if (last !== undefined && offset - lastEnd <= NEAR_BYTES) {
    const end = Math.max(lastEnd, offset + length);
    ranges[ranges.length - 1] = { offset: last.offset, length: end - last.offset };
  } else {
    ranges.push({ offset, length });
  }
}
