import assert from 'node:assert/strict';
import { appendFile, cp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { diskMedium } from '../../../../src/storage/disk-medium.ts';
import { inspectJournal } from '../../../../src/storage/journal/inspect.ts';
import { Journal } from '../../../../src/storage/journal/journal.ts';
import { encodeSegmentHeader } from '../../../../src/storage/journal/segment.ts';
import { temporaryDirectory } from '../../../support/tmp.ts';
import { put, Recorder, replayed } from './recorder.ts';

const HEADER = 24;
const RECORD = 40;

/**
 * A journal whose process died: every record is there, durable as far as it was synced. Each text is a segment; a comma stands between
 * its records, a `|` is a sync.
 */
async function left(t: TestContext, ...segments: string[]): Promise<string> {
  const root = await temporaryDirectory(t);
  const directory = join(root, 'journal');
  const journal = await Journal.open(diskMedium, directory, new Recorder());
  let offset = 0;
  for (const segment of segments) {
    for (const step of segment.split(/(?<=\|)|,/)) {
      const text = step.replace('|', '');
      if (text !== '') await journal.append([put(offset++, text)]);
      if (step.endsWith('|')) await journal.sync();
    }
    await journal.rotate();
  }
  const copy = join(root, 'left');
  await cp(directory, copy, { recursive: true });
  await journal.close();
  return copy;
}

function segment(directory: string, number: number): string {
  return join(directory, `00000${number}.log`);
}

async function overwrite(path: string, offset: number, bytes = Buffer.from([0xff])): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.byteLength, offset);
  await file.close();
}

const recovery = (message: RegExp) => ({ code: 'ERR_MLFS_RECOVERY', exitCode: 5, message });

test('a torn record at the end is cut off, and what comes next stands in its place', async (t) => {
  const directory = await left(t, 'one,two,three');
  const path = segment(directory, 1);
  await truncate(path, (await stat(path)).size - 2);
  const recorder = new Recorder();
  const journal = await Journal.open(diskMedium, directory, recorder);
  assert.deepEqual(await recorder.events(), ['0:one', '1:two']);
  assert.equal(journal.tornBytes, RECORD + 3);
  assert.equal((await stat(path)).size, HEADER + 2 * (RECORD + 3));
  await journal.append([put(9, 'next')]);
  assert.equal(journal.counters.lastSequence, 3n);
  await journal.close();
  assert.deepEqual(await replayed(directory), ['0:one', '1:two', '9:next']);
});

test('bytes of nobody behind the last record are cut off', async (t) => {
  const directory = await left(t, 'one');
  await appendFile(segment(directory, 1), Buffer.alloc(5000, 'MLFR'));
  assert.deepEqual(await replayed(directory), ['0:one']);
  assert.equal((await stat(segment(directory, 1))).size, HEADER + RECORD + 3);
});

test('an unsynced record that was lost is a torn tail, with the unsynced ones behind it', async (t) => {
  const directory = await left(t, 'one|two,three,four');
  const second = HEADER + RECORD + 3;
  await overwrite(segment(directory, 1), second + RECORD);
  assert.deepEqual(await replayed(directory), ['0:one']);
  assert.equal((await stat(segment(directory, 1))).size, second);
});

test('a torn tail goes over segments, and those behind it are removed', async (t) => {
  const directory = await left(t, 'one|two,three', 'four,five', 'six');
  await overwrite(segment(directory, 1), HEADER + RECORD + 3);
  assert.deepEqual(await replayed(directory), ['0:one']);
  assert.deepEqual(await readdir(directory), ['000001.log']);
});

test('what was lost of the end of a segment takes the next ones with it', async (t) => {
  const directory = await left(t, 'one|two', 'three');
  await truncate(segment(directory, 1), HEADER + RECORD + 3);
  assert.deepEqual(await replayed(directory), ['0:one']);
  assert.deepEqual(await readdir(directory), ['000001.log']);
});

test('a damaged record that a later one knew to be durable is refused, with the place and the reason', async (t) => {
  const directory = await left(t, 'one|two|three');
  await overwrite(segment(directory, 1), HEADER + RECORD);
  const place = new RegExp(
    `${segment(directory, 1)}: is damaged at byte 24: its checksum is wrong. Record 2`,
  );
  await assert.rejects(replayed(directory), recovery(place));
  await assert.rejects(inspectJournal(diskMedium, directory), recovery(place));
  assert.equal((await stat(segment(directory, 1))).size, HEADER + 3 * RECORD + 11, 'nothing was cut');
});

test('a later segment knows what was durable, too', async (t) => {
  const directory = await left(t, 'one,two|', 'three');
  await overwrite(segment(directory, 1), HEADER + RECORD + 3 + RECORD);
  await assert.rejects(
    replayed(directory),
    recovery(/000001\.log: is damaged at byte 67.*Record 3 at byte 24 of .*000002\.log/),
  );
});

test('the end of a segment that was durable may not be missing', async (t) => {
  const directory = await left(t, 'one,two|', 'three');
  await truncate(segment(directory, 1), HEADER + RECORD + 3);
  await assert.rejects(
    replayed(directory),
    recovery(/000002\.log: is damaged at byte 0: it begins with record 3, and the one before it ends with 1/),
  );
});

test('a damaged header of a segment that was durable is refused', async (t) => {
  const directory = await left(t, 'one|two');
  await overwrite(segment(directory, 1), 12);
  await assert.rejects(
    replayed(directory),
    recovery(/000001\.log: is damaged at byte 0: its header's checksum is wrong/),
  );
});

test('a segment that is missing between two others is refused', async (t) => {
  const directory = await left(t, 'one', 'two', 'three');
  await rm(segment(directory, 2));
  await assert.rejects(
    replayed(directory),
    recovery(/000002\.log: is missing, but there are later segments/),
  );
});

test('segments that are missing at the front were dropped', async (t) => {
  const directory = await left(t, 'one', 'two', 'three');
  await rm(segment(directory, 1));
  assert.deepEqual(await replayed(directory), ['1:two', '2:three']);
});

test('a last segment without a whole header is a torn tail', async (t) => {
  for (const bytes of [
    Buffer.alloc(0),
    encodeSegmentHeader(2, 2).subarray(0, 23),
    Buffer.alloc(24),
    Buffer.alloc(4096),
  ]) {
    const directory = await left(t, 'one');
    await writeFile(segment(directory, 2), bytes);
    assert.deepEqual(await replayed(directory), ['0:one']);
    assert.deepEqual(await readdir(directory), ['000001.log']);
  }
});

test('a first segment that was never written to is no journal', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(segment(directory, 1), '');
  assert.deepEqual(await replayed(directory), []);
  assert.deepEqual(await readdir(directory), []);
});

test('a segment under the name of another is refused', async (t) => {
  const directory = await left(t, 'one|two');
  await cp(segment(directory, 1), segment(directory, 2));
  await rm(segment(directory, 1));
  await assert.rejects(replayed(directory), recovery(/its header says that it is segment 1/));
});

test('the format of another version is refused', async (t) => {
  const directory = await left(t, 'one');
  const { crc32c } = await import('../../../../src/storage/crc32c.ts');
  const header = (await readFile(segment(directory, 1))).subarray(0, HEADER);
  header.writeUInt16LE(2, 4);
  header.writeUInt32LE(crc32c(header.subarray(0, 20)), 20);
  await overwrite(segment(directory, 1), 0, header);
  await assert.rejects(replayed(directory), recovery(/has version 2 of the journal's format/));
});

test('names that are no segments are left alone, but a segment that was not finished goes', async (t) => {
  const directory = await left(t, 'one');
  for (const name of ['notes.txt', '1.log', '000000.log', 'important.log.new', '000003.log.new']) {
    await writeFile(join(directory, name), 'draft');
  }
  await writeFile(join(directory, '000002.log.new'), 'MLFL');
  assert.deepEqual(await replayed(directory), ['0:one']);
  assert.deepEqual(await readdir(directory), [
    '000000.log',
    '000001.log',
    '000003.log.new',
    '1.log',
    'important.log.new',
    'notes.txt',
  ]);
});

test('a log of a database that has the name of a segment is refused, and stays', async (t) => {
  const directory = await temporaryDirectory(t);
  for (const name of ['000001.log', '000002.log']) await writeFile(join(directory, name), 'rocksdb WAL');
  await assert.rejects(Journal.open(diskMedium, directory, new Recorder()), {
    code: 'ERR_MLFS_RECOVERY',
    message: `${join(directory, '000001.log')}: is not a segment of a journal of MLFS`,
  });
  assert.deepEqual(await readdir(directory), ['000001.log', '000002.log']);
});

test('a look at a journal tells what it holds and changes nothing', async (t) => {
  const directory = await left(t, 'one,two', 'three|four');
  const path = segment(directory, 2);
  await truncate(path, (await stat(path)).size - 1);
  const before = await readFile(path);
  assert.deepEqual(await inspectJournal(diskMedium, directory), {
    bytes: 2 * HEADER + 3 * RECORD + 11,
    writes: 3,
    // Each begins a byte after the one before.
    dirtyBytes: 7,
    interruptedCommit: false,
  });
  assert.deepEqual(await readFile(path), before);
  assert.deepEqual(await inspectJournal(diskMedium, join(directory, 'none')), {
    bytes: 0,
    writes: 0,
    dirtyBytes: 0,
    interruptedCommit: false,
  });
});

test('a look at a journal sees a commit that was decided', async (t) => {
  const directory = join(await temporaryDirectory(t), 'journal');
  const journal = await Journal.open(diskMedium, directory, new Recorder());
  t.after(() => journal.close());
  await journal.append([put(0, 'a')]);
  await journal.markCommit('note');
  assert.equal((await inspectJournal(diskMedium, directory)).interruptedCommit, true);
  await journal.discard();
  assert.equal((await inspectJournal(diskMedium, directory)).interruptedCommit, false);
});
