/** The scan in native threads and the one in TypeScript find the same records in every journal, whole, torn or damaged. */
import assert from 'node:assert/strict';
import { mkdir, open, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { messageOf } from '../../../../src/errors.ts';
import { diskMedium } from '../../../../src/storage/disk-medium.ts';
import { MARKER } from '../../../../src/storage/journal/record.ts';
import { RecordReader } from '../../../../src/storage/journal/record-reader.ts';
import {
  ROW_FIELDS,
  type ScanLimits,
  scanHere,
  scanNatively,
} from '../../../../src/storage/journal/record-scan.ts';
import { replay } from '../../../../src/storage/journal/replay.ts';
import type { Medium } from '../../../../src/storage/medium.ts';
import { type PlantedRecord, segment } from '../../../support/journal-builder.ts';
import { requires } from '../../../support/requires.ts';
import { temporaryDirectory } from '../../../support/tmp.ts';
import { FaultyMedium } from './faulty-medium.ts';
import { Recorder } from './recorder.ts';

const HEADER = 24;
const ALL: ScanLimits = { records: 1000, bytes: 2 ** 40 };
/** Of the native scan's window, and of the one in TypeScript. */
const WINDOWS = [256 * 1024, 1024 * 1024];
/** Never fails, and shows no descriptor: what it opens is scanned in TypeScript. */
const withoutAddon = new FaultyMedium();

const addon = requires('addon');

/** A folder of one segment with these bytes. */
async function journalOf(t: TestContext, bytes: Uint8Array): Promise<{ directory: string; path: string }> {
  const directory = join(await temporaryDirectory(t), 'journal');
  await mkdir(directory);
  const path = join(directory, '000001.log');
  await writeFile(path, bytes);
  return { directory, path };
}

/** Both scans of a file; they must agree. Returns how many records they found. */
async function scanned(
  path: string,
  { from = HEADER, limits = ALL, stop = Number.POSITIVE_INFINITY } = {},
): Promise<number> {
  const file = await diskMedium.open(path, 'read');
  try {
    const size = await file.size();
    const native = await scanNatively(file, from, size, limits, stop);
    assert.deepEqual(native, await scanHere(new RecordReader(file, size), from, limits, stop));
    return (native?.rows.length ?? 0) / ROW_FIELDS;
  } finally {
    await file.close();
  }
}

/** What replay finds, or why it refuses. */
async function outcome(medium: Medium, directory: string): Promise<unknown> {
  const recorder = new Recorder();
  try {
    const found = await replay(medium, directory, 'read', recorder);
    const events = await recorder.events();
    for (const { file } of found.segments) await file.close();
    const segments = found.segments.map(({ file, ...rest }) => rest);
    return { ...found, segments, events };
  } catch (cause) {
    return messageOf(cause);
  }
}

const write = (offset: number, text: string, batch = 0): PlantedRecord => ({
  kind: 'write',
  offset,
  bytes: Buffer.from(text),
  batch,
});

const SMALL: readonly PlantedRecord[] = [
  write(5, 'one'),
  write(2 ** 53 - 100, 'far'),
  write(7, 'in a batch', 3),
  write(9, '', 3),
  { kind: 'batchEnd', batch: 3 },
  { kind: 'commit', note: '{"note":1}' },
  write(0, 'MLFR is no record'),
];

test('a journal whose every byte is flipped in turn', addon, async (t) => {
  const bytes = segment(SMALL);
  const { directory, path } = await journalOf(t, bytes);
  assert.equal(await scanned(path), SMALL.length);
  const file = await open(path, 'r+');
  t.after(() => file.close());
  for (let at = 0; at < bytes.length; at++) {
    for (const mask of [0x01, 0x80]) {
      await file.write(Buffer.from([(bytes[at] as number) ^ mask]), 0, 1, at);
      const found = await scanned(path);
      assert.equal(found < SMALL.length, at >= HEADER, `byte ${at}`);
      assert.deepEqual(await outcome(diskMedium, directory), await outcome(withoutAddon, directory));
    }
    await file.write(bytes, at, 1, at);
  }
});

test('a journal that is torn after each of its bytes', addon, async (t) => {
  const bytes = segment(SMALL);
  const { directory, path } = await journalOf(t, bytes);
  for (let size = bytes.length; size >= 0; size--) {
    await truncate(path, size);
    if (size >= HEADER) await scanned(path);
    assert.deepEqual(await outcome(diskMedium, directory), await outcome(withoutAddon, directory));
  }
});

test('records that end at, before and behind the windows that both scans read through', addon, async (t) => {
  for (const window of WINDOWS) {
    for (const past of [-41, -40, -39, -1, 0, 1, 39, 40, 41, window]) {
      const records = [write(0, 'x'.repeat(window - 40 + past)), write(1, 'behind'), write(2, 'last')];
      const { path } = await journalOf(t, segment(records));
      assert.equal(await scanned(path), records.length);
    }
  }
});

test('a long record with a flipped bit in any of its windows is not whole', addon, async (t) => {
  const bytes = segment([write(0, 'y'.repeat(3 * 256 * 1024)), write(1, 'behind')]);
  const { path } = await journalOf(t, bytes);
  for (const at of [HEADER + 8, 100_000, 300_000, 600_000, HEADER + 40 + 3 * 256 * 1024 - 1]) {
    const flipped = Buffer.from(bytes);
    flipped[at] = (flipped[at] as number) ^ 4;
    await writeFile(path, flipped);
    assert.equal(await scanned(path), 0, `byte ${at}`);
  }
});

test('a scan ends at its limits, and where it is to stop', addon, async (t) => {
  const { path } = await journalOf(t, segment(SMALL));
  assert.equal(await scanned(path, { limits: { records: 2, bytes: 2 ** 40 } }), 2);
  assert.equal(await scanned(path, { limits: { records: 100, bytes: 1 } }), 1);
  assert.equal(await scanned(path, { limits: { records: 100, bytes: 44 } }), 2);
  assert.equal(await scanned(path, { stop: 4 }), 3);
  assert.equal(await scanned(path, { from: HEADER + 1 }), 0);
});

test('lengths that leave the segment are refused by both', addon, async (t) => {
  const bytes = segment([write(0, 'abc')]);
  const { path } = await journalOf(t, bytes);
  for (const length of [4, 40, 2 ** 31, 2 ** 32 - 1]) {
    const hostile = Buffer.from(bytes);
    hostile.writeUInt32LE(length, HEADER + 8);
    await writeFile(path, hostile);
    assert.equal(await scanned(path), 0, `${length}`);
  }
});

test('random journals, with random damage, are replayed alike', addon, async (t) => {
  const { directory, path } = await journalOf(t, segment([]));
  const text = fc.string({ maxLength: 60 });
  const record: fc.Arbitrary<PlantedRecord> = fc.oneof(
    fc
      .record({ offset: fc.maxSafeNat(), text, batch: fc.nat(4) })
      .map((r) => write(r.offset, r.text, r.batch)),
    fc.record({ kind: fc.constant('commit' as const), note: text }),
    fc.record({ kind: fc.constant('batchEnd' as const), batch: fc.integer({ min: 1, max: 4 }) }),
  );
  const damage = fc.array(
    fc.record({ at: fc.nat(2000), bytes: fc.constantFrom('\0', 'M', MARKER.toString(), '\xff\xff\xff\xff') }),
    { maxLength: 3 },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(record, { maxLength: 20 }), damage, async (records, places) => {
      // A batch begins with a record that is there.
      const bytes = segment(
        records.map((record, index) =>
          'batch' in record ? { ...record, batch: Math.min(record.batch ?? 0, index + 1) } : record,
        ),
      );
      for (const { at, bytes: put } of places) bytes.write(put, at % bytes.length, 'latin1');
      await writeFile(path, bytes);
      await scanned(path);
      assert.deepEqual(await outcome(diskMedium, directory), await outcome(withoutAddon, directory));
    }),
    { numRuns: 200 },
  );
  assert.ok((await readFile(path)).length >= HEADER);
});
