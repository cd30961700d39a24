/** Journals of hostile records: bounded in time and memory, or refused with a typed error. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MlfsError } from '../../src/errors.ts';
import { Journal } from '../../src/storage/journal/journal.ts';
import type { MediumFile } from '../../src/storage/medium.ts';
import { CHUNK_BYTES, Overlay } from '../../src/storage/overlay.ts';
import { ReplayedEdits } from '../../src/storage/replayed-edits.ts';
import { SeededRandom } from '../crash/seeded-random.ts';
import { SimulatedMedium } from '../crash/simulated-medium.ts';
import { type PlantedRecord, segment } from '../support/journal-builder.ts';

/** A record for each takes milliseconds or less when the work is proportional, and hours when each one copies those before it. */
const GENEROUS_MS = 60_000;

async function replayed(records: Iterable<PlantedRecord>): Promise<{ edits: ReplayedEdits; ms: number }> {
  const medium = SimulatedMedium.holding({ '/disk/journal/000001.log': segment(records) });
  const edits = new ReplayedEdits('/disk/journal');
  const started = performance.now();
  const journal = await Journal.open(medium, '/disk/journal', edits);
  edits.all();
  await journal.close();
  return { edits, ms: performance.now() - started };
}

function* times(count: number, record: (index: number) => PlantedRecord): Iterable<PlantedRecord> {
  for (let index = 0; index < count; index++) yield record(index);
}

const BYTE = Buffer.from([7]);
const COUNT = 100_000;

test('many pieces of one chunk, in any order, are put together in proportion to their number', async () => {
  const scattered = (index: number) => ((index * 7_919) % (CHUNK_BYTES / 2)) * 2;
  const { edits, ms } = await replayed(
    times(COUNT, (index) => ({ kind: 'write', offset: scattered(index), bytes: BYTE })),
  );
  assert.equal(edits.uncommitted.bytes, COUNT);
  assert.ok(ms < GENEROUS_MS, `${ms} ms`);
});

test('records that overlap each other, each a byte further, are put together in proportion to their number', async () => {
  const bytes = Buffer.alloc(64, 3);
  const { edits, ms } = await replayed(
    times(COUNT, (index) => ({ kind: 'write', offset: (COUNT - index) * 3, bytes })),
  );
  assert.equal(edits.uncommitted.bytes, 3 * (COUNT - 1) + 64);
  assert.ok(ms < GENEROUS_MS, `${ms} ms`);
});

test('a commit mark behind every record costs no more than the records', async () => {
  const { edits, ms } = await replayed(
    times(COUNT, (index) =>
      index % 2 === 0 ? { kind: 'write', offset: index * 2, bytes: BYTE } : { kind: 'commit', note: '{}' },
    ),
  );
  assert.equal(edits.decided?.overlay.bytes, COUNT / 2);
  assert.equal(edits.uncommitted.bytes, 0);
  assert.ok(ms < GENEROUS_MS, `${ms} ms`);
});

test('batches that overlap and never end count for nothing', async () => {
  const { edits } = await replayed(
    times(COUNT, (index) => ({ kind: 'write', offset: index, bytes: BYTE, batch: (index % 1000) + 1 })),
  );
  assert.equal(edits.uncommitted.empty, true);
});

test('more pieces than the bound are refused', async () => {
  const edits = new ReplayedEdits('/disk/journal', 1000);
  const placement = { file: undefined as unknown as MediumFile, fileOffset: 0, segment: 1 };
  const refusal = (error: unknown) => error instanceof MlfsError && error.code === 'ERR_MLFS_RECOVERY';
  assert.throws(() => {
    for (let index = 0; index < 3000; index++) edits.write(index * 2, 1, placement);
  }, refusal);
  assert.throws(() => edits.write(Number.MAX_SAFE_INTEGER, 5, placement), refusal);
});

test('what replay collects is what the writes make one after the other', () => {
  const random = new SeededRandom(7);
  const number = (below: number) => random.below(below);
  for (let round = 0; round < 20; round++) {
    const expected = new Overlay();
    const edits = new ReplayedEdits('/disk/journal');
    for (let write = 0; write < 500; write++) {
      const offset = CHUNK_BYTES - 2000 + number(4000);
      const length = 1 + number(write % 7 === 0 ? 3000 : 30);
      const placement = { file: undefined as unknown as MediumFile, fileOffset: write * 100_000, segment: 1 };
      expected.set(offset, length, placement, new Set());
      edits.write(offset, length, placement);
      if (number(200) === 0) {
        edits.discard();
        expected.dropThrough(Number.POSITIVE_INFINITY, new Set());
      }
      if (number(100) === 0) edits.commit('', 0);
    }
    assert.deepEqual([...edits.all().pieces()], [...expected.pieces()]);
  }
});
