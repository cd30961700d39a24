/**
 * Converts a tensor's histogram to TensorBoard's form: adjacent buckets, each given by its right edge. The number of buckets is fixed, so that the
 * size of an event does not depend on the elements; unused buckets are empty ones at the end, which TensorBoard drops.
 *
 * The buckets of the statistics are quarters of octaves, which near zero are finer than any chart shows. Narrow neighbours are merged there. A count
 * is never split, and zero keeps a bucket of its own.
 */
import type { HistogramBucket, Statistics } from '../numbers/statistics.ts';

export const BUCKETS = 96;

export interface Buckets {
  /** Right edges in ascending order; the last one is the largest element. */
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

/** Merges as few buckets as needed to get at most BUCKETS. */
function joined(histogram: readonly HistogramBucket[], min: number, max: number): readonly Bucket[] {
  const cut = histogram.map(({ from, to, count }) => ({
    from: Math.max(from, min),
    to: Math.min(to, max),
    count,
  }));
  const all = withGaps(cut);
  if (all.length <= BUCKETS) return all;
  // At most BUCKETS / 2 buckets are this wide or wider, with as many gaps between them.
  let width = max / BUCKETS - min / BUCKETS;
  for (;;) {
    const wider = withGaps(joinNarrow(cut, width));
    if (wider.length <= BUCKETS) return wider;
    width = width * 1.25 + Number.MIN_VALUE;
  }
}

/** Merges neighbours into buckets of at most `width`. The bucket of zero is never merged. */
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
