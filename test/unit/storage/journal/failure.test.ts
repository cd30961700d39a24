import assert from 'node:assert/strict';
import { cp, readdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Journal, type JournalOptions } from '../../../../src/storage/journal/journal.ts';
import type { MovedRecords } from '../../../../src/storage/journal/rewrite-poisoned.ts';
import { temporaryDirectory } from '../../../support/tmp.ts';
import { type Call, FaultyMedium } from './faulty-medium.ts';
import { put, Recorder, replayed } from './recorder.ts';

async function faultyJournal(t: TestContext, options: JournalOptions = {}) {
  const medium = new FaultyMedium();
  const directory = join(await temporaryDirectory(t), 'journal');
  const journal = await Journal.open(medium, directory, new Recorder(), options);
  t.after(() => journal.close());
  /** What a process would find that came after a kill. */
  const found = async () => {
    const copy = join(await temporaryDirectory(t), 'copy');
    await cp(directory, copy, { recursive: true });
    return replayed(copy);
  };
  return { medium, directory, journal, found };
}

const only =
  (kind: Call['kind'], errno: 'EIO' | 'ENOSPC' = 'EIO') =>
  (call: Call) =>
    call.kind === kind ? errno : undefined;

test('a write that fails is cut off, told, and the next one succeeds', async (t) => {
  const { medium, journal, found } = await faultyJournal(t);
  await journal.append([put(0, 'a')]);
  medium.fails = only('write', 'ENOSPC');
  await assert.rejects(journal.append([put(1, 'b'), put(2, 'c')]), { errno: 'ENOSPC' });
  assert.equal(journal.failed, false);
  medium.fails = () => undefined;
  assert.deepEqual(await found(), ['0:a']);
  await journal.append([put(3, 'd')]);
  assert.equal(journal.counters.lastSequence, 2n);
  assert.deepEqual(await found(), ['0:a', '3:d']);
});

test('the first write of all may fail, too', async (t) => {
  const { medium, directory, journal, found } = await faultyJournal(t);
  medium.fails = only('write', 'ENOSPC');
  await assert.rejects(journal.append([put(0, 'a')]), { errno: 'ENOSPC' });
  medium.fails = () => undefined;
  assert.equal(await journal.rotate(), 0);
  await journal.append([put(1, 'b')]);
  assert.deepEqual(await found(), ['1:b']);
  await journal.discard();
  medium.fails = only('write', 'ENOSPC');
  await assert.rejects(journal.append([put(0, 'a')]));
  await journal.close();
  assert.deepEqual(await readdir(directory), [], 'no empty segment is left behind');
});

test('while the tail cannot be cut nothing is acknowledged; then everything goes on', async (t) => {
  const { medium, journal, found } = await faultyJournal(t);
  await journal.append([put(0, 'a')]);
  medium.fails = ({ kind }) => (kind === 'write' ? 'ENOSPC' : kind === 'truncate' ? 'EIO' : undefined);
  await assert.rejects(journal.append([put(1, 'b'), put(2, 'c')]), { errno: 'ENOSPC' });
  assert.equal(journal.failed, true);
  medium.fails = only('truncate');
  const mended = { errno: 'EIO', message: /could not be repaired/ };
  await assert.rejects(journal.append([put(3, 'd')]), mended);
  await assert.rejects(journal.sync(), mended);
  await assert.rejects(journal.markCommit(''), mended);
  medium.fails = () => undefined;
  await journal.append([put(4, 'e')]);
  assert.equal(journal.failed, false);
  assert.deepEqual(await found(), ['0:a', '4:e']);
});

test('a batch goes on behind a write of it that failed', async (t) => {
  const { medium, journal, found } = await faultyJournal(t);
  const batch = journal.beginBatch();
  medium.fails = only('write', 'ENOSPC');
  await assert.rejects(journal.append([put(0, 'a')], batch));
  medium.fails = () => undefined;
  await journal.append([put(1, 'b')]);
  await journal.append([put(2, 'c')], batch);
  await journal.endBatch(batch);
  assert.deepEqual(await found(), ['1:b', '2:c']);
});

test('after a failed sync what was not durable is rewritten, and its new places are told', async (t) => {
  const moved: MovedRecords[] = [];
  const { medium, directory, journal, found } = await faultyJournal(t, {
    segmentBytes: 200,
    onMoved: (records) => moved.push(...records),
  });
  const batch = journal.beginBatch();
  await journal.append([put(0, 'durable'), put(1, 'x'.repeat(60))]);
  await journal.append([put(1, 'part one')], batch);
  await journal.sync();
  const [two] = await journal.append([put(2, 'two')]);
  const [three] = await journal.append([put(3, 'part two')], batch);
  assert.deepEqual([two?.segment, three?.segment], [2, 2]);
  medium.fails = only('sync');
  await assert.rejects(journal.sync(), { errno: 'EIO' });
  assert.equal(journal.failed, true);
  await assert.rejects(journal.append([put(4, 'four')]), { errno: 'EIO' });
  medium.fails = () => undefined;

  await journal.append([put(5, 'five')]);
  assert.equal(journal.failed, false);
  await journal.endBatch(batch);
  for (const [placement, text] of [
    [two, 'two'],
    [three, 'part two'],
  ] as const) {
    assert.ok(placement);
    const there = moved.find(
      ({ segment, start, end }) =>
        segment === placement.segment && placement.fileOffset >= start && placement.fileOffset < end,
    );
    assert.ok(there, `${text} was moved`);
    const { file, fileOffset } = there.to;
    const bytes = await file.read(fileOffset + placement.fileOffset - there.start, text.length);
    assert.equal(bytes.toString(), text);
    assert.equal((await placement.file.read(placement.fileOffset, text.length)).toString(), text);
  }
  // What the disk made of the records in doubt does not matter any more.
  const expected = [`0:durable`, `1:${'x'.repeat(60)}`, '2:two', '5:five', '1:part one', '3:part two'];
  assert.deepEqual(await found(), expected);
  await truncate(join(directory, '000002.log'), 24 + 40 + 'part one'.length);
  assert.deepEqual(await found(), expected);
});

test('segments that are replaced as a whole may lose everything, wherever they are', async (t) => {
  const { medium, directory, journal, found } = await faultyJournal(t, { segmentBytes: 100 });
  await journal.append([put(0, 'a')]);
  await journal.sync();
  await journal.append([put(1, 'x'.repeat(100))]);
  await journal.append([put(2, 'y'.repeat(100))]);
  medium.fails = only('sync');
  await assert.rejects(journal.sync());
  medium.fails = () => undefined;
  await journal.append([put(3, 'b')]);
  await journal.sync();
  await journal.append([put(4, 'c')]);
  for (const name of ['000002.log', '000003.log']) await truncate(join(directory, name), 0);
  const rest = [`1:${'x'.repeat(100)}`, `2:${'y'.repeat(100)}`, '3:b', '4:c'];
  assert.deepEqual(await found(), ['0:a', ...rest]);
  await journal.dropThrough(1);
  assert.deepEqual(await found(), rest);
  await journal.dropThrough(2);
  assert.deepEqual(await found(), rest);
});

test('a sync that fails again and again acknowledges nothing, and loses nothing', async (t) => {
  const { medium, journal, found } = await faultyJournal(t);
  await journal.append([put(0, 'a')]);
  medium.fails = only('sync');
  for (let attempt = 0; attempt < 5; attempt++) await assert.rejects(journal.sync(), { errno: 'EIO' });
  for (let attempt = 0; attempt < 3; attempt++)
    await assert.rejects(journal.append([put(1, 'b')]), { errno: 'EIO' });
  assert.deepEqual(await found(), ['0:a']);
  medium.fails = () => undefined;
  await journal.sync();
  assert.deepEqual(await found(), ['0:a']);
});

test('records that the kernel forgot after a failed sync are lost: that is told, and discarding still works', async (t) => {
  const { medium, directory, journal, found } = await faultyJournal(t);
  await journal.append([put(0, 'a')]);
  await journal.sync();
  const [placement] = await journal.append([put(1, 'b')]);
  medium.fails = only('sync');
  await assert.rejects(journal.sync());
  medium.fails = () => undefined;
  assert.ok(placement);
  await placement.file.write(placement.fileOffset, [Buffer.from([0])]);
  const lost = { errno: 'EIO', message: /the record at byte 65 is lost: its checksum is wrong/ };
  await assert.rejects(journal.append([put(2, 'c')]), lost);
  await assert.rejects(journal.sync(), lost);
  await journal.discard();
  assert.equal(journal.failed, false);
  assert.deepEqual(await readdir(directory), []);
  await journal.append([put(3, 'd')]);
  await journal.sync();
  assert.deepEqual(await found(), ['3:d']);
});

test('a discard that fails when its segment has its name already has discarded nothing', async (t) => {
  const { medium, journal, found } = await faultyJournal(t);
  await journal.append([put(0, 'a')]);
  medium.fails = only('sync');
  await assert.rejects(journal.sync());
  let renamed = false;
  medium.fails = ({ kind }) => {
    renamed ||= kind === 'rename';
    return renamed && kind === 'syncDirectory' ? 'EIO' : undefined;
  };
  await assert.rejects(journal.discard(), { errno: 'EIO' });
  assert.ok(renamed);
  medium.fails = () => undefined;
  assert.deepEqual(await found(), ['0:a']);
  await journal.sync();
  assert.deepEqual(await found(), ['0:a']);
});

test('a mark whose sync failed is not there, now and later', async (t) => {
  const { medium, journal, found } = await faultyJournal(t);
  await journal.append([put(0, 'a')]);
  for (const synced of [false, true]) {
    if (synced) await journal.sync();
    medium.fails = only('sync');
    await assert.rejects(journal.markCommit('note'), { errno: 'EIO' });
    assert.deepEqual(await found(), ['0:a']);
    medium.fails = () => undefined;
    await journal.sync();
    assert.deepEqual(await found(), ['0:a']);
  }
  await journal.append([put(1, 'b')]);
  await journal.markCommit('second');
  assert.match((await found()).join(), /^0:a,1:b,commit second in \d$/);
});

test('many who wait for one sync all hear that it failed', async (t) => {
  const { medium, journal } = await faultyJournal(t);
  await journal.append([put(0, 'a')]);
  medium.fails = only('sync');
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => journal.sync()));
  assert.ok(outcomes.every(({ status }) => status === 'rejected'));
  medium.fails = () => undefined;
  await journal.sync();
});

test('closing with a journal that cannot be synced says so and closes', async (t) => {
  const { medium, directory } = await faultyJournal(t);
  const journal = await Journal.open(medium, directory, new Recorder());
  const [placement] = await journal.append([put(0, 'a')]);
  medium.fails = only('sync');
  await assert.rejects(journal.close(), { errno: 'EIO' });
  await assert.rejects(placement?.file.read(0, 1) ?? Promise.resolve(), /was closed/);
  medium.fails = () => undefined;
});

/** What a user of the journal does; what was acknowledged is pushed. */
async function work(journal: Journal, acknowledged: string[], failures: unknown[]): Promise<void> {
  const attempt = async (task: () => Promise<unknown>, told: string[]) => {
    try {
      await task();
      acknowledged.push(...told);
    } catch (cause) {
      failures.push(cause);
    }
  };
  await attempt(() => journal.append([put(0, 'first')]), ['0:first']);
  await attempt(() => journal.sync(), []);
  await attempt(() => journal.append([put(1, 'x'.repeat(80)), put(2, 'y')]), [`1:${'x'.repeat(80)}`, '2:y']);
  const batch = journal.beginBatch();
  await attempt(async () => {
    await journal.append([put(3, 'p')], batch);
    await journal.append([put(4, 'q')], batch);
    await journal.endBatch(batch);
  }, ['3:p', '4:q']);
  await attempt(() => journal.sync(), []);
  await attempt(() => journal.append([put(5, 'z'.repeat(90))]), [`5:${'z'.repeat(90)}`]);
  await attempt(() => journal.append([put(6, 'last')]), ['6:last']);
  await attempt(() => journal.sync(), []);
}

for (const errno of ['ENOSPC', 'EIO'] as const) {
  test(`${errno} at the Nth call, for every N: what was acknowledged is there, and nothing else`, async (t) => {
    let failed = 0;
    for (let n = 1; ; n++) {
      const { medium, journal, found } = await faultyJournal(t, { segmentBytes: 200 });
      medium.fails = ({ number }) => (number === n ? errno : undefined);
      const acknowledged: string[] = [];
      const failures: unknown[] = [];
      await work(journal, acknowledged, failures);
      if (medium.calls.length < n) break;
      failed++;
      assert.ok(failures.length <= 1, `${failures.length} calls failed for one failure`);
      assert.deepEqual(await found(), acknowledged, `at call ${n}, ${medium.calls[n - 1]?.kind}`);
      await journal.sync();
      assert.equal(journal.failed, false);
    }
    assert.ok(failed > 15, `${failed} calls were failed`);
  });

  test(`${errno} from the Nth call on, for every N: what was acknowledged is there, and comes back when room does`, async (t) => {
    for (let n = 1; ; n++) {
      const { medium, journal, found } = await faultyJournal(t, { segmentBytes: 200 });
      medium.fails = ({ kind, number }) =>
        number >= n && kind !== 'read' && kind !== 'truncate' ? errno : undefined;
      const acknowledged: string[] = [];
      const failures: unknown[] = [];
      await work(journal, acknowledged, failures);
      if (failures.length === 0) break;
      if (acknowledged.length > 0) assert.deepEqual(await found(), acknowledged, `from call ${n} on`);
      medium.fails = () => undefined;
      await journal.append([put(9, 'room')]);
      await journal.sync();
      assert.deepEqual(await found(), [...acknowledged, '9:room'], `after call ${n}`);
    }
  });
}

test('a batch that is withdrawn after its records were written again takes nothing else away', async (t) => {
  const { medium, journal, found } = await faultyJournal(t);
  await journal.append([put(0, 'durable')]);
  await journal.sync();
  await journal.append([put(1, 'plain edit')]);
  const batch = journal.beginBatch();
  await journal.append([put(2, 'part one')], batch);
  medium.fails = only('sync');
  await assert.rejects(journal.sync(), { errno: 'EIO' });
  medium.fails = () => undefined;
  // This mends it: what is not durable is written again, into another segment.
  await journal.append([put(3, 'part two')], batch);
  await journal.withdraw(batch);
  await journal.append([put(4, 'later')]);
  await journal.sync();
  assert.deepEqual(await found(), ['0:durable', '1:plain edit', '4:later']);
});
