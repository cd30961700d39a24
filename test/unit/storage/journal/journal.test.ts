import assert from 'node:assert/strict';
import { cp, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { diskMedium } from '../../../../src/storage/disk-medium.ts';
import { Journal, type JournalOptions } from '../../../../src/storage/journal/journal.ts';
import { temporaryDirectory } from '../../../support/tmp.ts';
import { FaultyMedium } from './faulty-medium.ts';
import { put, Recorder, replayed } from './recorder.ts';

async function emptyJournal(t: TestContext, options: JournalOptions = {}, medium = diskMedium) {
  const directory = join(await temporaryDirectory(t), 'state', 'journal');
  const journal = await Journal.open(medium, directory, new Recorder(), options);
  t.after(() => journal.close());
  return { directory, journal };
}

test('opening, syncing and discarding an empty journal makes nothing', async (t) => {
  const { directory, journal } = await emptyJournal(t);
  await journal.sync();
  await journal.discard();
  assert.equal(await journal.rotate(), 0);
  assert.deepEqual(await journal.append([]), []);
  await journal.close();
  await assert.rejects(stat(join(directory, '..')), { code: 'ENOENT' });
});

test('writes come back in their order, with their bytes, from where append said they are', async (t) => {
  const { directory, journal } = await emptyJournal(t);
  const [first, second] = await journal.append([put(100, 'one'), put(2 ** 40, 'two')]);
  const [third] = await journal.append([put(100, 'three')]);
  assert.equal((await first?.file.read(first.fileOffset, 3))?.toString(), 'one');
  assert.equal((await second?.file.read(second.fileOffset, 3))?.toString(), 'two');
  assert.equal((await third?.file.read(third.fileOffset, 5))?.toString(), 'three');
  assert.equal(third?.file, first?.file, 'one file a segment');
  await journal.close();
  assert.deepEqual(await replayed(directory), ['100:one', `${2 ** 40}:two`, '100:three']);
});

test('the first edit of 4 KiB costs 64 bytes, a later one 40', async (t) => {
  const { directory, journal } = await emptyJournal(t);
  await journal.append([{ offset: 0, bytes: Buffer.alloc(4096) }]);
  assert.equal((await stat(join(directory, '000001.log'))).size, 4096 + 64);
  assert.equal(journal.counters.bytes, 4096 + 64);
  await journal.append([{ offset: 0, bytes: Buffer.alloc(4096) }]);
  assert.equal(journal.counters.bytes, 2 * 4096 + 104);
});

test('callers at a time are served in the order in which they called', async (t) => {
  const { directory, journal } = await emptyJournal(t, { segmentBytes: 300 });
  await Promise.all(Array.from({ length: 50 }, (_, index) => journal.append([put(index, `<${index}>`)])));
  await journal.close();
  assert.deepEqual(
    await replayed(directory),
    Array.from({ length: 50 }, (_, index) => `${index}:<${index}>`),
  );
});

test('a run of records is in one segment, which may be longer than a segment should be', async (t) => {
  const { directory, journal } = await emptyJournal(t, { segmentBytes: 200 });
  const long = 'x'.repeat(500);
  await journal.append([put(0, 'a')]);
  const placements = await journal.append([put(1, long), put(2, long)]);
  await journal.append([put(3, 'b')]);
  assert.deepEqual(
    placements.map(({ segment }) => segment),
    [2, 2],
  );
  assert.equal(journal.counters.segments, 3);
  await journal.close();
  assert.deepEqual(await replayed(directory), ['0:a', `1:${long}`, `2:${long}`, '3:b']);
});

test('records longer than what replay holds in memory come back', async (t) => {
  const { directory, journal } = await emptyJournal(t);
  const bytes = Buffer.alloc(3 * 1024 * 1024 + 17, 'abcdefg');
  await journal.append([put(7, 'before'), { offset: 8, bytes }, put(9, 'behind')]);
  await journal.close();
  const events = await replayed(directory);
  assert.deepEqual([events[0], events[2]], ['7:before', '9:behind']);
  assert.equal(events[1], `8:${bytes.toString('latin1')}`);
});

test('replay and rewriting hold 1 MiB at a time, however long a record is', async (t) => {
  const medium = new FaultyMedium();
  const { directory, journal } = await emptyJournal(t, {}, medium);
  await journal.append([{ offset: 0, bytes: Buffer.alloc(9 * 1024 * 1024, 1) }, put(1, 'x')]);
  medium.fails = ({ kind }) => (kind === 'sync' ? 'EIO' : undefined);
  await assert.rejects(journal.sync());
  medium.fails = () => undefined;
  await journal.sync();
  await journal.close();
  let writes = 0;
  const visitor = { write: () => void writes++, commit: () => undefined, discard: () => undefined };
  await (await Journal.open(medium, directory, visitor)).close();
  assert.equal(writes, 2);
  assert.equal(medium.longestRead, 1024 * 1024);
});

test('thousands of records in one call come back', async (t) => {
  const { directory, journal } = await emptyJournal(t);
  const writes = Array.from({ length: 3000 }, (_, index) => put(index, String(index)));
  await journal.append(writes);
  await journal.close();
  assert.deepEqual(
    await replayed(directory),
    writes.map(({ offset }) => `${offset}:${offset}`),
  );
});

test('the records of a batch count from its end on, together; without its end they do not', async (t) => {
  const { directory, journal } = await emptyJournal(t, { segmentBytes: 150 });
  const [ended, open, unused] = [journal.beginBatch(), journal.beginBatch(), journal.beginBatch()];
  await journal.append([put(1, 'a')], ended);
  await journal.append([put(2, 'b')], open);
  await journal.append([put(3, 'c')]);
  await journal.append([put(4, 'd'), put(5, 'e')], ended);
  await journal.endBatch(ended);
  await journal.endBatch(unused);
  await journal.append([put(6, 'f')]);
  await journal.close();
  assert.deepEqual(await replayed(directory), ['3:c', '1:a', '4:d', '5:e', '6:f']);
});

test('a batch that began in dropped segments applies what is left of it', async (t) => {
  const { directory, journal } = await emptyJournal(t);
  const batch = journal.beginBatch();
  await journal.append([put(1, 'a')], batch);
  const dropped = await journal.rotate();
  await journal.append([put(2, 'b')], batch);
  await journal.endBatch(batch);
  await journal.dropThrough(dropped);
  await journal.close();
  assert.deepEqual(await replayed(directory), ['2:b']);
});

test('a commit mark ends its segment and comes back with its note', async (t) => {
  const { directory, journal } = await emptyJournal(t);
  await journal.append([put(1, 'a')]);
  const note = 'ü'.repeat(2_000_000);
  assert.equal(await journal.markCommit(note), 1);
  await journal.append([put(2, 'b')]);
  await journal.close();
  assert.deepEqual(await replayed(directory), ['1:a', `commit ${note} in 1`, '2:b']);
});

test('a segment that ends with a commit mark is not gone on with after opening, another is', async (t) => {
  const { directory, journal } = await emptyJournal(t);
  await journal.append([put(1, 'a')]);
  await journal.close();
  const second = await Journal.open(diskMedium, directory, new Recorder());
  await second.append([put(2, 'b')]);
  assert.equal(await second.markCommit(''), 1);
  await second.close();
  const third = await Journal.open(diskMedium, directory, new Recorder());
  await third.append([put(3, 'c')]);
  await third.dropThrough(1);
  await third.close();
  assert.deepEqual(await readdir(directory), ['000002.log']);
  assert.deepEqual(await replayed(directory), ['3:c']);
});

test('dropped segments are gone, and numbers go on where they were', async (t) => {
  const { directory, journal } = await emptyJournal(t);
  await journal.append([put(1, 'a')]);
  assert.equal(await journal.rotate(), 1);
  assert.equal(await journal.rotate(), 1);
  await journal.append([put(2, 'b')]);
  assert.equal(await journal.rotate(), 2);
  await journal.dropThrough(2);
  assert.deepEqual(await readdir(directory), []);
  assert.equal(journal.counters.bytes, 0);
  const [placement] = await journal.append([put(3, 'c')]);
  assert.equal(placement?.segment, 3);
  assert.equal(journal.counters.lastSequence, 3n);
  await journal.close();
  assert.deepEqual(await replayed(directory), ['3:c']);
});

test('reads of a dropped segment that were under way end well', async (t) => {
  const { journal } = await emptyJournal(t);
  const [placement] = await journal.append([{ offset: 0, bytes: Buffer.alloc(1_000_000, 7) }]);
  assert.ok(placement);
  const reads = Array.from({ length: 20 }, () => placement.file.read(placement.fileOffset, 1_000_000));
  await journal.dropThrough(await journal.rotate());
  for (const bytes of await Promise.all(reads)) assert.equal(bytes[999_999], 7);
  await assert.rejects(placement.file.read(placement.fileOffset, 1), { code: 'ERR_MLFS_IO' });
});

test('what was discarded is superseded from the mark on, and gone', async (t) => {
  const { directory, journal } = await emptyJournal(t);
  const batch = journal.beginBatch();
  await journal.append([put(1, 'a')]);
  await journal.append([put(2, 'b')], batch);
  await journal.discard();
  assert.deepEqual(await readdir(directory), []);
  await journal.append([put(3, 'c')]);
  await journal.close();
  assert.deepEqual(await replayed(directory), ['3:c']);
});

test('a discard is done with its mark; what could not be removed goes at the next opening', async (t) => {
  const medium = new FaultyMedium();
  const { directory, journal } = await emptyJournal(t, {}, medium);
  await journal.append([put(1, 'a')]);
  medium.fails = ({ kind }) => (kind === 'remove' ? 'EIO' : undefined);
  await journal.discard();
  const copy = `${directory}-after`;
  await cp(directory, copy, { recursive: true });
  assert.deepEqual(await replayed(copy), ['discard']);
  assert.deepEqual(await readdir(copy), []);
});

test('the limit is ENOSPC with what to do; marks still fit, and room comes back', async (t) => {
  const { directory, journal } = await emptyJournal(t, { limitBytes: 24 + 2 * 50 });
  await journal.append([put(0, '0123456789')]);
  await journal.append([put(0, '0123456789')]);
  await assert.rejects(journal.append([put(0, 'x')]), {
    errno: 'ENOSPC',
    advice: /mlfs commit.*--journal-limit/,
    message: /41 bytes more .* limit of 124 bytes/,
  });
  assert.equal(journal.failed, false);
  assert.equal(await journal.markCommit('note'), 1);
  await journal.dropThrough(1);
  await journal.append([put(0, 'y')]);
  await journal.close();
  assert.deepEqual(await replayed(directory), ['0:y']);
});

test('many who sync at a time share a sync of the disk, and none is told too early', async (t) => {
  const medium = new FaultyMedium();
  const { journal } = await emptyJournal(t, {}, medium);
  await journal.append([put(0, 'a')]);
  await Promise.all(Array.from({ length: 100 }, () => journal.sync()));
  assert.equal(medium.count('sync'), 1);
  assert.equal(journal.counters.syncsTotal, 1);
  await journal.sync();
  assert.equal(medium.count('sync'), 1, 'nothing new, nothing to do');
  const early = journal.append([put(1, 'b')]).then(() => journal.sync());
  const late = journal.append([put(2, 'c')]).then(() => journal.sync());
  await Promise.all([early, late]);
  assert.ok(medium.count('sync') <= 3);
});

test("a segment's name is durable before the first sync that covers it resolves, and before there is another", async (t) => {
  const medium = new FaultyMedium();
  const { directory, journal } = await emptyJournal(t, { segmentBytes: 100 }, medium);
  await journal.append([put(0, 'x'.repeat(100))]);
  await journal.append([put(0, 'y'.repeat(100))]);
  const second = medium.calls.findIndex(({ kind, path }) => kind === 'create' && path.endsWith('000002.log'));
  const before = medium.calls.slice(0, second).map(({ kind, path }) => `${kind} ${path}`);
  assert.ok(before.includes(`syncDirectory ${directory}`));
  await journal.sync();
  const after = medium.calls.slice(second).map(({ kind, path }) => `${kind} ${path}`);
  for (const expected of [
    `sync ${directory}/000001.log`,
    `sync ${directory}/000002.log`,
    `syncDirectory ${directory}`,
  ]) {
    assert.ok(after.includes(expected), expected);
  }
});

test('a closed journal takes nothing more, and what it had is durable', async (t) => {
  const medium = new FaultyMedium();
  const { journal } = await emptyJournal(t, {}, medium);
  const appended = journal.append([put(0, 'a')]);
  await journal.close();
  await appended;
  assert.equal(medium.count('sync'), 1);
  const closed = { code: 'ERR_MLFS_IO', message: /was closed/ };
  await assert.rejects(journal.append([put(0, 'b')]), closed);
  await assert.rejects(journal.sync(), closed);
  await assert.rejects(journal.discard(), closed);
});

test('offsets that are no places are refused', async (t) => {
  const { journal } = await emptyJournal(t);
  for (const offset of [-1, 0.5, 2 ** 53, Number.NaN]) {
    await assert.rejects(journal.append([put(offset, 'x')]), { errno: 'EINVAL' });
  }
  assert.equal(journal.counters.segments, 0);
});
