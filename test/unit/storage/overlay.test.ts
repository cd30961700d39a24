import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MediumFile } from '../../../src/storage/medium.ts';
import { CHUNK_BYTES, Overlay, type Piece } from '../../../src/storage/overlay.ts';

/** Overlays never touch the file, they only name it. */
const SEGMENTS = [1, 2, 3].map((number) => ({ path: `segment ${number}` }) as MediumFile);

interface Write {
  readonly start: number;
  readonly length: number;
  readonly segment: number;
  readonly fileOffset: number;
}

/** Around a chunk's boundary, where pieces are cut. */
const BASE = CHUNK_BYTES - 40;
const SPAN = 100;

const writes = fc.array(
  fc.record({
    start: fc.integer({ min: 0, max: SPAN - 1 }).map((start) => BASE + start),
    length: fc.integer({ min: 1, max: 60 }),
    segment: fc.integer({ min: 1, max: 3 }),
    fileOffset: fc.integer({ min: 0, max: 50 }),
  }),
  { maxLength: 25 },
);

function apply(overlay: Overlay, ...all: readonly Write[]): void {
  const placed = all.map(({ start, length, segment, fileOffset }) => ({
    start,
    end: start + length,
    placement: { file: SEGMENTS[segment - 1] as MediumFile, fileOffset, segment },
  }));
  overlay.setAll(placed, new Set());
}

/** What each byte is, by a map of single bytes. */
function model(all: readonly Write[]): Map<number, string> {
  const bytes = new Map<number, string>();
  for (const { start, length, segment, fileOffset } of all) {
    for (let at = 0; at < length; at++) bytes.set(start + at, `${segment}:${fileOffset + at}`);
  }
  return bytes;
}

function byteByByte(pieces: Iterable<Piece>): Map<number, string> {
  const bytes = new Map<number, string>();
  for (const { start, end, segment, fileOffset } of pieces) {
    for (let at = start; at < end; at++) bytes.set(at, `${segment}:${fileOffset + at - start}`);
  }
  return bytes;
}

const sorted = (bytes: Map<number, string>) => [...bytes].sort(([a], [b]) => a - b);

test('any writes leave each byte where it was written last', () => {
  fc.assert(
    fc.property(writes, (all) => {
      const overlay = new Overlay();
      // Some at a time, the others one by one: it is all the same.
      apply(overlay, ...all.slice(0, all.length / 2));
      for (const write of all.slice(all.length / 2)) apply(overlay, write);
      const expected = model(all);
      assert.deepEqual(sorted(byteByByte(overlay.pieces())), sorted(expected));
      assert.equal(overlay.bytes, expected.size);
      const pieces = [...overlay.pieces()];
      pieces.forEach((piece, index) => {
        assert.ok(piece.start < piece.end);
        assert.ok(index === 0 || (pieces[index - 1] as Piece).end <= piece.start, 'sorted, without overlap');
        assert.equal(Math.floor(piece.start / CHUNK_BYTES), Math.floor((piece.end - 1) / CHUNK_BYTES));
      });
    }),
  );
});

test('a window shows what lies in it, and touching it is the same as finding something', () => {
  fc.assert(
    fc.property(
      writes,
      fc.integer({ min: 0, max: 180 }),
      fc.integer({ min: 1, max: 80 }),
      (all, from, length) => {
        const overlay = new Overlay();
        for (const write of all) apply(overlay, write);
        const start = BASE - 20 + from;
        const inside = [...model(all)].filter(([at]) => at >= start && at < start + length);
        const found = overlay.within(start, start + length);
        assert.deepEqual(sorted(byteByByte(found)), sorted(new Map(inside)));
        assert.equal(overlay.touches(start, start + length), inside.length > 0);
      },
    ),
  );
});

test('many pieces in order are laid over what is there at once', () => {
  fc.assert(
    fc.property(writes, writes, (before, all) => {
      const ordered = all
        .toSorted((a, b) => a.start - b.start)
        .filter((write, index, list) => {
          const previous = list[index - 1];
          return previous === undefined || previous.start + previous.length <= write.start;
        });
      const overlay = new Overlay();
      apply(overlay, ...before);
      apply(overlay, ...ordered);
      assert.deepEqual(sorted(byteByByte(overlay.pieces())), sorted(model([...before, ...ordered])));
    }),
  );
});

test('dirty ranges are whole: neighbours are one, across chunks too', () => {
  const overlay = new Overlay();
  apply(overlay, { start: CHUNK_BYTES - 10, length: 20, segment: 1, fileOffset: 0 });
  apply(overlay, { start: CHUNK_BYTES + 10, length: 5, segment: 2, fileOffset: 7 });
  apply(overlay, { start: CHUNK_BYTES + 16, length: 1, segment: 2, fileOffset: 7 });
  assert.deepEqual(
    [...overlay.ranges()],
    [
      { start: CHUNK_BYTES - 10, end: CHUNK_BYTES + 15 },
      { start: CHUNK_BYTES + 16, end: CHUNK_BYTES + 17 },
    ],
  );
});

test('bytes that follow each other in the journal are one piece', () => {
  const overlay = new Overlay();
  apply(overlay, { start: 0, length: 4, segment: 1, fileOffset: 100 });
  apply(overlay, { start: 8, length: 4, segment: 1, fileOffset: 108 });
  apply(overlay, { start: 4, length: 4, segment: 1, fileOffset: 104 });
  assert.equal(overlay.chunk(0).length, 1);
});

test('dropping segments leaves what lies in later ones', () => {
  fc.assert(
    fc.property(writes, fc.integer({ min: 0, max: 3 }), (all, segment) => {
      const overlay = new Overlay();
      for (const write of all) apply(overlay, write);
      overlay.dropThrough(segment, new Set());
      const kept = [...model(all)].filter(([, where]) => Number(where.split(':')[0]) > segment);
      assert.deepEqual(sorted(byteByByte(overlay.pieces())), sorted(new Map(kept)));
      assert.equal(overlay.bytes, kept.length);
      assert.equal(overlay.empty, kept.length === 0);
    }),
  );
});

test('offsets beyond 4 GiB are their own', () => {
  const overlay = new Overlay();
  const far = 2 ** 42 + 12345;
  apply(overlay, { start: far, length: 3, segment: 1, fileOffset: 0 });
  assert.equal(overlay.touches(12345, 12348), false);
  assert.deepEqual([...overlay.ranges()], [{ start: far, end: far + 3 }]);
});
