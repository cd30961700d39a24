/** A Node program maps tensors, and the file is truncated under it: what it sees, thread by thread. */
import assert from 'node:assert/strict';
import { open, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { commit, openCheckpoint } from '../../src/index.ts';
import { requires } from '../support/requires.ts';
import { output, run } from '../support/run.ts';
import { mountable, Server } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const PROGRAM = fileURLToPath(new URL('../support/mapped-memory.mjs', import.meta.url));
const PAGES = 300;
/** Of one byte in each page, which is 1. */
const WHOLE = PAGES;

/** Node 20 has ArrayBuffer.prototype.transfer behind a flag. */
const TRANSFER = 'transfer' in ArrayBuffer.prototype ? [] : ['--harmony-rab-gsab-transfer'];

async function play(t: TestContext, scene: string) {
  const file = join(await temporaryDirectory(t), 'model.pt');
  await writeTorchZip(file, {
    tensors: [{ name: 'w', dtype: 'uint8', shape: [PAGES * 4096], fill: Buffer.alloc(PAGES * 4096, 1) }],
  });
  return run(process.execPath, ['--expose-gc', ...TRANSFER, PROGRAM, scene, file]);
}

async function result(t: TestContext, scene: string): Promise<unknown> {
  const outcome = await play(t, scene);
  assert.deepEqual([outcome.code, outcome.signal], [0, null], outcome.stderr);
  return JSON.parse(outcome.stdout);
}

const TORN = {
  before: WHOLE,
  after: 0,
  torn: true,
  check: 'ERR_MLFS_TRUNCATED',
  close: 'nothing',
  tornLater: true,
};

const LIVES: Readonly<Record<string, readonly [title: string, result: unknown]>> = {
  main: ['a program whose file is truncated reads zeros, lives, and is told', TORN],
  'nobody asked': [
    'close releases everything, and tells it if nobody was told',
    { close: 'ERR_MLFS_TRUNCATED', again: 'nothing', released: 0 },
  ],
  untouched: ['a truncation is noticed before any page is touched', { torn: true }],
  'private copy': [
    'a private copy can be written where the file is gone',
    { written: 9, sum: 9, check: 'ERR_MLFS_TRUNCATED' },
  ],
  pool: ['threads of the pool may read a torn mapping', { deflated: true, check: 'ERR_MLFS_TRUNCATED' }],
  'system call': ['a system call that reads a torn mapping fails with EFAULT', { write: 'EFAULT' }],
  worker: ['a worker thread is guarded, also if it alone has the addon', { ...TORN, addonStays: true }],
  'two workers': ['the guard outlives the worker that installed it', { ...TORN, addonStays: true }],
  'two mappings': [
    'mappings of one file in two threads are both torn',
    { after: 0, check: 'ERR_MLFS_TRUNCATED', inWorker: 'ERR_MLFS_TRUNCATED' },
  ],
  terminated: ['a worker that is terminated releases its mappings', { during: 1, after: 0 }],
  'listener before': ['a listener of SIGBUS that was there before still hears it', { ...TORN, heard: 1 }],
  'listener after': [
    'a listener of SIGBUS that came later does not disable the guard, once something is mapped again',
    { after: 0, check: 'ERR_MLFS_TRUNCATED' },
  ],
  'garbage collection': [
    'the garbage collector releases a mapping that nobody reaches, and no other',
    { before: 21, stays: PAGES - 5 },
  ],
  moved: [
    'memory that was moved into another buffer stays after close, until that buffer is collected',
    { close: 'nothing', length: PAGES * 4096, sum: WHOLE },
  ],
  'sent to a thread': [
    'a mapping cannot be moved to another thread, only copied',
    { copied: true, stays: WHOLE },
  ],
};

for (const [scene, [title, expected]] of Object.entries(LIVES)) {
  test(title, requires('addon'), async (t) => assert.deepEqual(await result(t, scene), expected));
}

test('writing into a mapping of mode r ends the program with SIGSEGV', requires('addon'), async (t) => {
  assert.equal((await play(t, 'write to mode r')).signal, 'SIGSEGV');
});

test('without the addon mmap-io maps, unguarded: a truncated file ends the program with SIGBUS', {
  ...requires('mmap-io'),
}, async (t) => {
  assert.deepEqual(await result(t, 'without the addon'), {
    before: WHOLE,
    guarded: false,
    array: 'Uint8Array',
    use: 'ERR_MLFS_USAGE',
  });
  assert.equal((await play(t, 'truncated without the addon')).signal, 'SIGBUS');
});

test(
  'windows reach the far end of a tensor of 5 GiB, and 4 GiB are one array',
  requires('addon'),
  async (t) => {
    const file = join(await temporaryDirectory(t), 'large.pt');
    const size = 5 * 2 ** 30;
    await writeTorchZip(file, {
      tensors: [
        {
          name: 'w',
          dtype: 'float32',
          shape: [size / 4],
          fill: { ranges: [{ offset: size - 4, bytes: Buffer.from(Float32Array.of(7).buffer) }] },
        },
      ],
    });
    await using checkpoint = await openCheckpoint(file);
    using end = checkpoint.map('w', { mode: 'r', offset: size - 8 });
    assert.deepEqual([...(end.array as Float32Array)], [0, 7]);
    using most = checkpoint.map('w', { mode: 'r', intent: 'random', offset: 2 ** 30 });
    assert.equal(most.bytes.length, 2 ** 32);
    assert.equal(most.array?.at(-1), 7);
    if (size > (await import('node:buffer')).constants.MAX_LENGTH) {
      assert.throws(() => checkpoint.map('w', { mode: 'r' }), { code: 'ERR_MLFS_USAGE', advice: /windows/ });
    }
    const handle = await open(file, 'r+');
    await handle.truncate(size / 2);
    await handle.close();
    assert.equal(most.array?.at(-1), 0);
    assert.throws(() => most.close(), { code: 'ERR_MLFS_TRUNCATED' });
    assert.throws(() => end.check(), { code: 'ERR_MLFS_TRUNCATED' });
  },
);

test('a mapping shows the edits of a mount when they are committed, and not before', {
  ...mountable('kernel', 'dd'),
}, async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const file = join(await temporaryDirectory(t), 'model.pt');
  await writeTorchZip(file, {
    tensors: [{ name: 'w', dtype: 'uint8', shape: [5000], fill: Buffer.alloc(5000, 1) }],
  });
  const { path: mount } = await server.mount(file, { transport: 'kernel' });
  await using checkpoint = await openCheckpoint(file);
  using before = checkpoint.map('w', { mode: 'r' });
  await output('sh', [
    '-c',
    `printf X | dd of='${mount}/model/w.bin' bs=1 seek=4500 conv=notrunc status=none`,
  ]);
  using after = checkpoint.map('w', { mode: 'r' });
  assert.deepEqual([before.bytes[4500], after.bytes[4500]], [1, 1]);
  assert.equal((await checkpoint.read('w'))[4500], 1);
  await commit(mount);
  assert.deepEqual([before.bytes[4500], after.bytes[4500]], [88, 88]);
});

test('pages that cannot be read, though the file has them, are zeros and a torn mapping', {
  ...mountable('kernel'),
}, async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const file = join(await temporaryDirectory(t), 'model.pt');
  const size = 64 * 2 ** 20;
  const middle = size / 2;
  await writeTorchZip(file, {
    tensors: [
      {
        name: 'w',
        dtype: 'uint8',
        shape: [size],
        fill: { ranges: [{ offset: middle, bytes: Buffer.alloc(5 * 4096, 1) }] },
      },
    ],
  });
  // The export of a mount has its size whatever happens to the checkpoint: reading fails with EIO.
  const { path: mount } = await server.mount(file, { transport: 'kernel' });
  await using checkpoint = await openCheckpoint(join(mount, 'export/model.pt'));
  using mapping = checkpoint.map('w', { mode: 'r', intent: 'random' });
  assert.equal(mapping.bytes[middle], 1);
  await truncate(file, 100);
  assert.equal(mapping.torn, false);
  assert.equal(mapping.bytes[middle + 4 * 4096], 0);
  // The page that was read before stays.
  assert.equal(mapping.bytes[middle], 1);
  assert.throws(() => mapping.check(), { code: 'ERR_MLFS_TRUNCATED' });
});
