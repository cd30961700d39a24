/** Digests that threads compute are those of Node on the main thread. */
import assert from 'node:assert/strict';
import { createHash, randomFillSync } from 'node:crypto';
import { open, truncate, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import workers from 'node:worker_threads';
import { crc32 } from '../../../src/storage/crc32.ts';
import { digestRuns } from '../../../src/storage/digests.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

type Context = Parameters<typeof temporaryDirectory>[0];

async function randomFile(t: Context, size: number) {
  const path = join(await temporaryDirectory(t), 'bytes.bin');
  const bytes = randomFillSync(Buffer.alloc(size));
  await writeFile(path, bytes);
  const file = await open(path);
  t.after(() => file.close());
  return { path, bytes, fd: file.fd };
}

test('every run has its digest, in order: empty, tiny, thousands of them, larger than an order', async (t) => {
  const { bytes, fd } = await randomFile(t, 41 * 2 ** 20);
  const runs = [
    { fd, offset: 5, length: 0 },
    { fd, offset: 1, length: 40 * 2 ** 20 },
    ...Array.from({ length: 2000 }, (_, index) => ({ fd, offset: index * 7, length: 1 + (index % 5) })),
    { fd, offset: bytes.length - 9, length: 9 },
  ];
  let read = 0;
  const sums = await digestRuns('sha256', runs, { onBytes: (count) => (read += count) });
  const crcs = await digestRuns('crc32', runs);
  assert.equal(
    read,
    runs.reduce((sum, { length }) => sum + length, 0),
  );
  for (const [index, { offset, length }] of runs.entries()) {
    const run = bytes.subarray(offset, offset + length);
    assert.equal(sums[index], createHash('sha256').update(run).digest('hex'), `run ${index}`);
    assert.equal(Number.parseInt(crcs[index] ?? '', 16), crc32(run), `run ${index}`);
  }
});

test('a run beyond the end of the file has no digest, and the others have theirs', async (t) => {
  const { path, bytes, fd } = await randomFile(t, 4096);
  await truncate(path, 1000);
  const [there, gone] = await digestRuns('sha256', [
    { fd, offset: 0, length: 1000 },
    { fd, offset: 500, length: 1000 },
  ]);
  assert.equal(there, createHash('sha256').update(bytes.subarray(0, 1000)).digest('hex'));
  assert.equal(gone, undefined);
});

test('an abort ends the threads in the middle of a run', async (t) => {
  const path = join(await temporaryDirectory(t), 'sparse.bin');
  await writeFile(path, '');
  await truncate(path, 2 ** 40);
  const file = await open(path);
  t.after(() => file.close());
  const stop = new AbortController();
  const run = { fd: file.fd, offset: 0, length: 2 ** 40 };
  const digests = digestRuns('sha256', [run], {
    onBytes: () => stop.abort(new Error('stopped')),
    signal: stop.signal,
  });
  await assert.rejects(digests, /stopped/);
});

/** `start` decides what becomes of the thread with this number, from 1 on. */
function threadsBy(t: Context, start: (number: number) => void) {
  const { Worker } = workers;
  let number = 0;
  const alive = new Set<object>();
  workers.Worker = class extends Worker {
    constructor(...args: ConstructorParameters<typeof Worker>) {
      start(++number);
      super(...args);
      alive.add(this);
      this.once('exit', () => alive.delete(this));
    }
  };
  syncBuiltinESMExports();
  t.after(() => {
    workers.Worker = Worker;
    syncBuiltinESMExports();
  });
  return alive;
}

for (const room of [0, 1]) {
  test(`where the system has room for ${room} threads, ${room} compute the digests, and none stays`, async (t) => {
    const { bytes, fd } = await randomFile(t, 4096);
    const alive = threadsBy(t, (number) => {
      if (number > room) throw new Error('EAGAIN');
    });
    const runs = Array.from({ length: 2000 }, (_, offset) => ({ fd, offset, length: 7 }));
    const digests = await digestRuns('crc32', runs);
    const right = runs.map(({ offset }) => crc32(bytes.subarray(offset, offset + 7)));
    assert.deepEqual(
      Array.from(digests, (digest) => (digest === undefined ? undefined : Number.parseInt(digest, 16))),
      room === 0 ? runs.map(() => undefined) : right,
    );
    assert.equal(alive.size, 0);
  });
}
