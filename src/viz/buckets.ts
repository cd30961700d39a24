/**
 * A tensor's histogram as TensorBoard has them: buckets that touch, each told by its right edge. There is always the same number, so that an
 * event's size does not depend on the elements; those that are not needed are empty ones at the end, which TensorBoard drops.
 *
 * The statistics' buckets are quarters of octaves: very fine near zero, where no picture shows them. Neighbours are joined there, by width;
 * no count is ever split, and zeros stay alone where they are many.
 */
import type { HistogramBucket, Statistics } from '../numbers/statistics.ts';

export const BUCKETS = 96;

export interface Buckets {
  /** Right edges, ascending; the last one is the largest element. */
  readonly limits: readonly number[];
  readonly counts: readonly number[];
}

interface Bucket {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

export function bucketsOf({
  histogram,
  ...extremes
}: Pick<Statistics, 'min' | 'max' | 'histogram'>): Buckets {
  const min = Number(extremes.min ?? 0);
  const max = Number(extremes.max ?? 0);
  const touching = joined(histogram, min, max);
  const limits = touching.map(({ to }) => to);
  const counts = touching.map(({ count }) => count);
  while (limits.length < BUCKETS) {
    limits.push(max);
    counts.push(0);
  }
  return { limits, counts };
}

/** Joined as little as is enough for BUCKETS of them. */
function joined(histogram: readonly HistogramBucket[], min: number, max: number): readonly Bucket[] {
  const cut = histogram.map(({ from, to, count }) => ({
    from: Math.max(from, min),
    to: Math.min(to, max),
    count,
  }));
  const all = withGaps(cut);
  if (all.length <= BUCKETS) return all;
  // Buckets at least this wide are at most BUCKETS / 2, and as many gaps between them.
  let width = max / BUCKETS - min / BUCKETS;
  for (;;) {
    const wider = withGaps(joinNarrow(cut, width));
    if (wider.length <= BUCKETS) return wider;
    width = width * 1.25 + Number.MIN_VALUE;
  }
}

/** Neighbours become one bucket until it is as wide as `width`. Zero is joined with nothing. */
function joinNarrow(buckets: readonly Bucket[], width: number): Bucket[] {
  const result: Bucket[] = [];
  for (const bucket of buckets) {
    const last = result.at(-1);
    if (last !== undefined && !isZero(last) && !isZero(bucket) && bucket.to - last.from <= width) {
      result[result.length - 1] = { from: last.from, to: bucket.to, count: last.count + bucket.count };
    } else {
      result.push(bucket);
    }
  }
  return result;
}

function isZero({ from, to }: Bucket): boolean {
  return from === 0 && to === 0;
}

function withGaps(buckets: readonly Bucket[]): readonly Bucket[] {
  const result: Bucket[] = [];
  for (const bucket of buckets) {
    const end = result.at(-1)?.to ?? bucket.from;
    if (bucket.from > end) result.push({ from: end, to: bucket.from, count: 0 });
    result.push(bucket);
  }
  return result;
}
