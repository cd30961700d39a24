import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HistogramBucket } from '../../../src/numbers/statistics.ts';
import { BUCKETS, bucketsOf } from '../../../src/viz/buckets.ts';

/** Quarters of octaves from 2^-30 to 2^3, on both sides of zero. */
function fine(): HistogramBucket[] {
  const positive: HistogramBucket[] = [];
  for (let octave = -30; octave < 3; octave++) {
    for (let quarter = 0; quarter < 4; quarter++) {
      const from = 2 ** octave * (1 + quarter / 4);
      positive.push({ from, to: 2 ** octave * (1 + (quarter + 1) / 4), count: positive.length + 1 });
    }
  }
  const negative = positive.map(({ from, to, count }) => ({ from: -to, to: -from, count })).reverse();
  return [...negative, { from: 0, to: 0, count: 1000 }, ...positive];
}

function total(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** As TensorBoard's data_compat takes them apart. */
function shown({ limits, counts }: ReturnType<typeof bucketsOf>, min: number, max: number) {
  const first = counts.findIndex((count) => count > 0);
  const last = counts.findLastIndex((count) => count > 0);
  const inner = limits.slice(first, last);
  return counts.slice(first, last + 1).map((count, index) => ({
    left: [min, ...inner][index] as number,
    right: [...inner, max][index] as number,
    count,
  }));
}

test('there are as many buckets whatever the elements are, and no element is lost', () => {
  const histogram = fine();
  const sum = total(histogram.map(({ count }) => count));
  const made = bucketsOf({ min: -7.9, max: 7.9, histogram });
  assert.equal(made.limits.length, BUCKETS);
  assert.equal(made.counts.length, BUCKETS);
  assert.equal(total(made.counts), sum);
  const one = bucketsOf({ min: 3, max: 3, histogram: [{ from: 3, to: 3.5, count: 5 }] });
  assert.equal(one.limits.length, BUCKETS);
  assert.equal(total(one.counts), 5);
  assert.equal(total(bucketsOf({ min: undefined, max: undefined, histogram: [] }).counts), 0);
});

test('edges ascend, touch, and end with the extremes', () => {
  const made = bucketsOf({ min: -7.9, max: 7.9, histogram: fine() });
  for (const [index, limit] of made.limits.entries()) {
    if (index > 0) assert.ok(limit >= (made.limits[index - 1] as number), `limit ${index}`);
  }
  const buckets = shown(made, -7.9, 7.9);
  assert.equal(buckets[0]?.left, -7.9);
  assert.equal(buckets.at(-1)?.right, 7.9);
});

test('many zeros stand alone, between elements and as the smallest', () => {
  const between = shown(bucketsOf({ min: -7.9, max: 7.9, histogram: fine() }), -7.9, 7.9);
  assert.deepEqual(
    between.find(({ left, right }) => left === 0 && right === 0),
    { left: 0, right: 0, count: 1000 },
  );
  const histogram = [
    { from: 0, to: 0, count: 50 },
    { from: 1, to: 1.25, count: 3 },
  ];
  assert.deepEqual(shown(bucketsOf({ min: 0, max: 1.2, histogram }), 0, 1.2), [
    { left: 0, right: 0, count: 50 },
    { left: 0, right: 1, count: 0 },
    { left: 1, right: 1.2, count: 3 },
  ]);
});

test('where nothing is, no bucket has a count', () => {
  const histogram = [
    { from: -2, to: -1.75, count: 4 },
    { from: 8, to: 10, count: 6 },
  ];
  assert.deepEqual(shown(bucketsOf({ min: -1.9, max: 9, histogram }), -1.9, 9), [
    { left: -1.9, right: -1.75, count: 4 },
    { left: -1.75, right: 8, count: 0 },
    { left: 8, right: 9, count: 6 },
  ]);
});

test('the largest of doubles have buckets, too', () => {
  const histogram = Array.from({ length: 500 }, (_, index) => ({
    from: 2 ** (index + 500),
    to: 2 ** (index + 501),
    count: 1,
  }));
  const made = bucketsOf({
    min: -Number.MAX_VALUE,
    max: Number.MAX_VALUE,
    histogram: [{ from: -Infinity, to: -(2 ** 1000), count: 1 }, ...histogram],
  });
  assert.equal(total(made.counts), 501);
  assert.ok(made.limits.every(Number.isFinite));
});
