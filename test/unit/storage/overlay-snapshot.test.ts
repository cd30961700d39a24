import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOnce } from '../../../src/storage/in-slices.ts';
import type { MediumFile } from '../../../src/storage/medium.ts';
import { CHUNK_BYTES, Overlay } from '../../../src/storage/overlay.ts';
import { OverlaySnapshot } from '../../../src/storage/overlay-snapshot.ts';
import { SeededRandom } from '../../crash/seeded-random.ts';

const file = { path: 'segment' } as MediumFile;

function scribbled(seed: number): Overlay {
  const overlay = new Overlay();
  const random = new SeededRandom(seed);
  for (let fileOffset = 0; fileOffset < 500; fileOffset++) {
    const start = random.below(3 * CHUNK_BYTES);
    overlay.set(
      start,
      1 + random.below(9000),
      { file, fileOffset: fileOffset * 9000, segment: 1 + random.below(3) },
      new Set(),
    );
  }
  // From one chunk into the next.
  overlay.set(CHUNK_BYTES - 5, 10, { file, fileOffset: 0, segment: 1 }, new Set());
  return overlay;
}

test('a snapshot shows what the overlay showed, whatever becomes of it', () => {
  for (let seed = 0; seed < 20; seed++) {
    const overlay = scribbled(seed);
    const [pieces, ranges, bytes] = [[...overlay.pieces()], [...overlay.ranges()], overlay.bytes];
    const snapshot = new OverlaySnapshot(overlay);
    overlay.dropThrough(2, new Set());
    overlay.set(0, 3 * CHUNK_BYTES, { file, fileOffset: 0, segment: 9 }, new Set());
    assert.deepEqual([...snapshot.pieces()], pieces);
    assert.deepEqual(atOnce(snapshot.ranges()), ranges);
    assert.equal(snapshot.bytes, bytes);
  }
});

test('short ranges can be left out, and the others are counted in parts', () => {
  const overlay = scribbled(1);
  const long = [...overlay.ranges()].filter(({ start, end }) => end - start >= 20_000);
  assert.ok(long.length > 0);
  const work = new OverlaySnapshot(overlay).ranges(20_000);
  let parts = 0;
  for (let next = work.next(); ; next = work.next()) {
    if (next.done === true) {
      assert.deepEqual(next.value, long);
      break;
    }
    parts++;
  }
  assert.equal(parts, overlay.chunkIndexes().length);
});

test('an overlay without edits has an empty snapshot', () => {
  const snapshot = new OverlaySnapshot(new Overlay());
  assert.deepEqual([...snapshot.pieces()], []);
  assert.deepEqual(atOnce(snapshot.ranges()), []);
});
