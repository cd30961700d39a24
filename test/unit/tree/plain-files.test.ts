import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Image } from '../../../src/storage/image.ts';
import { PlainFilesByPlace } from '../../../src/tree/plain-files.ts';

const IMAGE = {} as Image;
const files = new PlainFilesByPlace(IMAGE, {
  // Not in the order of their places; the last one overlaps the second.
  starts: [300, 100, 200, 120],
  ends: [310, 150, 300, 130],
  nodeids: [3, 1, 2, 4],
});
const shown = (...ranges: [start: number, end: number][]) =>
  [
    ...files.overlapping(
      IMAGE,
      ranges.map(([start, end]) => ({ start, end })),
    ),
  ].map(({ nodeid, ranges: runs }) => [nodeid, ...runs.map(({ offset, length }) => [offset, length])]);

test('a range leads to the files that show it, and to their own bytes of it', () => {
  assert.deepEqual(shown([140, 205]), [
    [1, [40, 10]],
    [2, [0, 5]],
  ]);
  assert.deepEqual(shown([299, 301]), [
    [2, [99, 1]],
    [3, [0, 1]],
  ]);
});

test('what lies between the files leads to none', () => {
  assert.deepEqual(shown([0, 100], [150, 200], [310, 400]), []);
  assert.deepEqual([...files.overlapping({} as Image, [{ start: 0, end: 400 }])], []);
});

test('a file that very many ranges touch is dropped as a whole', () => {
  const large = new PlainFilesByPlace(IMAGE, { starts: [0], ends: [1000], nodeids: [7] });
  const touched = (count: number) =>
    [
      ...large.overlapping(
        IMAGE,
        Array.from({ length: count }, (_, index) => ({ start: index * 2, end: index * 2 + 1 })),
      ),
    ].map(({ ranges }) => ranges.length);
  assert.deepEqual(touched(64), [64]);
  assert.deepEqual(
    [
      ...large.overlapping(
        IMAGE,
        Array.from({ length: 65 }, (_, at) => ({ start: at * 2, end: at * 2 + 1 })),
      ),
    ],
    [{ nodeid: 7, ranges: [{ offset: 0, length: 0 }] }],
  );
});

test('a file that overlaps one before it is not among them', () => {
  assert.deepEqual(
    [1, 2, 3, 4].map((nodeid) => files.has(nodeid)),
    [true, true, true, false],
  );
});

test('the same bytes are found as by looking at every file', () => {
  const lengths = fc.array(fc.record({ gap: fc.nat(5), length: fc.integer({ min: 1, max: 9 }) }), {
    maxLength: 50,
  });
  fc.assert(
    fc.property(lengths, fc.nat(300), fc.nat(60), (runs, start, length) => {
      let at = 0;
      const places = runs.map(({ gap, length: bytes }) => {
        const from = at + gap;
        at = from + bytes;
        return { from, to: at };
      });
      const plain = new PlainFilesByPlace(IMAGE, {
        starts: places.map(({ from }) => from),
        ends: places.map(({ to }) => to),
        nodeids: places.map((_, index) => index + 2),
      });
      const end = start + length;
      const expected = places.flatMap(({ from, to }, index) =>
        Math.max(from, start) < Math.min(to, end)
          ? [
              {
                nodeid: index + 2,
                offset: Math.max(from, start) - from,
                length: Math.min(to, end) - Math.max(from, start),
              },
            ]
          : [],
      );
      const found = [...plain.overlapping(IMAGE, length === 0 ? [] : [{ start, end }])];
      assert.deepEqual(
        found.map(({ nodeid, ranges }) => ({ nodeid, ...ranges[0] })),
        expected,
      );
    }),
  );
});

test('it is known of every nodeid whether its file is among them', () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 2 ** 32 + 1].filter((nodeid) => files.has(nodeid)),
    [1, 2, 3],
  );
  assert.equal(new PlainFilesByPlace(IMAGE, { starts: [], ends: [], nodeids: [] }).has(1), false);
  const apart = new PlainFilesByPlace(IMAGE, { starts: [0, 10], ends: [5, 20], nodeids: [90, 107] });
  assert.deepEqual(
    Array.from({ length: 120 }, (_, nodeid) => nodeid).filter((nodeid) => apart.has(nodeid)),
    [90, 107],
  );
});
