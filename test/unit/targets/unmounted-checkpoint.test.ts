import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileStructure } from '../../../src/checkpoint/file-structure.ts';
import { writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { MlfsError } from '../../../src/errors.ts';
import { commit, discard, openCheckpoint, status } from '../../../src/index.ts';
import { type MountedOptions, openForMount } from '../../../src/mount/open-for-mount.ts';
import { encodeCommitNote, structureOf } from '../../../src/storage/commit-note.ts';
import { diskMedium } from '../../../src/storage/disk-medium.ts';
import { Journal } from '../../../src/storage/journal/journal.ts';
import { adviseCommit } from '../../../src/targets/commit-advice.ts';
import { WritableCheckpoint } from '../../../src/targets/writable-checkpoint.ts';
import { Log } from '../../../src/telemetry/log.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

async function checkpoint(t: TestContext): Promise<string> {
  const path = join(await temporaryDirectory(t), 'model.pt');
  await write(path, 1);
  return path;
}

async function write(path: string, value: number): Promise<void> {
  await writeTorchZip(path, {
    tensors: [
      { name: 'a', dtype: 'uint8', shape: [4], fill: Buffer.alloc(4, value) },
      { name: 'b', dtype: 'uint8', shape: [4], fill: Buffer.alloc(4, value) },
    ],
  });
}

/** What a mount leaves behind that was written to. */
async function edit(path: string, value: number, options: { stateDirectory?: string } = {}): Promise<void> {
  const opened = await WritableCheckpoint.open(path, options);
  const bytes = opened.checkpoint.tensors[1]?.tensor.storage.bytes;
  const offset = bytes?.kind === 'extent' ? bytes.offset : 0;
  await opened.checkpoint.image.update((update) => update.write(offset, Buffer.from([value, value])));
  await opened.close();
}

async function bytesOfB(path: string): Promise<number[]> {
  await using opened = await openCheckpoint(path);
  return [...(await opened.readTensor('b'))];
}

test('the library says what is edited, commits it and drops it', async (t) => {
  const path = await checkpoint(t);
  assert.deepEqual((await status(path)).journal, null);
  await edit(path, 7);
  const { mode, state, dirty_bytes, dirty_tensors, dirty_ranges_total } = await status(path);
  assert.deepEqual([mode, state, dirty_bytes, dirty_ranges_total], ['unmounted', 'current', 2, 1]);
  assert.deepEqual(dirty_tensors, [{ name: 'b', bytes: 2, ranges: 1 }]);
  assert.equal((await commit(path, { dryRun: true })).bytes, 2);
  assert.deepEqual(await bytesOfB(path), [1, 1, 1, 1]);
  assert.equal((await commit(path)).bytes, 2);
  assert.deepEqual(await bytesOfB(path), [7, 7, 1, 1]);
  await edit(path, 8);
  assert.equal((await discard(path)).bytes, 2);
  assert.equal((await commit(path)).bytes, 0);
  assert.deepEqual(await bytesOfB(path), [7, 7, 1, 1]);
  assert.equal(existsSync(`${path}.mlfs`), false);
});

test('edits are found where --state put them', async (t) => {
  const path = await checkpoint(t);
  const stateDirectory = join(await temporaryDirectory(t), 'edits');
  await edit(path, 7, { stateDirectory });
  assert.equal((await status(path)).dirty_bytes, 0);
  assert.equal((await status(path, { stateDirectory })).dirty_bytes, 2);
  await commit(path, { stateDirectory });
  assert.deepEqual(await bytesOfB(path), [7, 7, 1, 1]);
});

test('edits of a file that was replaced can be looked at and dropped, and nothing else', async (t) => {
  const path = await checkpoint(t);
  await edit(path, 7);
  await write(`${path}.new`, 2);
  await rename(`${path}.new`, path);
  assert.equal((await status(path)).state, 'stale');
  await assert.rejects(commit(path), { code: 'ERR_MLFS_RECOVERY', exitCode: 5 });
  assert.equal((await discard(path)).bytes, 2);
  assert.deepEqual(await bytesOfB(path), [2, 2, 2, 2]);
});

/** As a process leaves it that died between its decision to commit and the first byte. */
async function interruptCommit(path: string): Promise<void> {
  const opened = await WritableCheckpoint.open(path);
  const { image } = opened.checkpoint;
  const { identity, checksums } = fileStructure(opened.checkpoint);
  const patches = opened.editing.checksums.patches();
  assert.equal(checksums.patches().length, 0, 'those of the file as it is');
  const structure = await structureOf(image.base, identity, patches);
  const note = encodeCommitNote({ size: image.size, identity, structure, patches });
  const { journalPath } = opened.state;
  await opened.close();
  const nothing = () => undefined;
  const journal = await Journal.open(diskMedium, journalPath, {
    write: nothing,
    commit: nothing,
    discard: nothing,
  });
  await journal.markCommit(note);
  await journal.close();
}

test('a commit that was interrupted is seen by who looks, refused read-only, and finished by the next', async (t) => {
  const path = await checkpoint(t);
  await edit(path, 7);
  await interruptCommit(path);
  assert.equal((await status(path)).unfinished_commit, true);
  assert.deepEqual(await bytesOfB(path), [1, 1, 1, 1], 'looking finishes nothing');
  const readOnly: MountedOptions = {
    path,
    mountpoint: '/nowhere',
    readOnly: true,
    editing: {},
    log: new Log({ level: 'error' }),
    notice: () => undefined,
    build: () => assert.fail('nothing is opened'),
  };
  await assert.rejects(
    openForMount(readOnly),
    (error: Error & { exitCode?: number; advice?: string }) =>
      error.exitCode === 5 && /mlfs commit/.test(error.advice ?? ''),
  );
  const opened = await WritableCheckpoint.open(path);
  assert.equal(opened.finishedCommit, true);
  await opened.close();
  assert.deepEqual(await bytesOfB(path), [7, 7, 1, 1]);
  assert.equal((await status(path)).journal, null);
});

test('a checkpoint that is open for writing is refused to others', async (t) => {
  const path = await checkpoint(t);
  const opened = await WritableCheckpoint.open(path);
  t.after(() => opened.close());
  await assert.rejects(WritableCheckpoint.open(path), (error: Error & { code?: string }) => {
    return error.code === 'ERR_MLFS_BUSY' && error.message.includes(String(process.pid));
  });
  await assert.rejects(commit(path), { exitCode: 4 });
});

test('a commit that fails says what to do about it', () => {
  const advised = (cause: MlfsError) => (adviseCommit(cause, '/mnt/m') as MlfsError).advice;
  assert.match(advised(new MlfsError('ERR_MLFS_ACCESS', 'no')) ?? '', /commit \/mnt\/m --to NEW\.pt/);
  assert.match(advised(new MlfsError('ERR_MLFS_IO', 'full', { errno: 'ENOSPC' })) ?? '', /free some space/);
  assert.match(advised(new MlfsError('ERR_MLFS_IO', 'bad')) ?? '', /dmesg/);
  assert.equal(advised(new MlfsError('ERR_MLFS_STALE', 'old', { advice: 'its own' })), 'its own');
});

test('discarding says that there is neither a checkpoint nor edits of one', async (t) => {
  const path = join(await temporaryDirectory(t), 'none.pt');
  await assert.rejects(discard(path), { code: 'ERR_MLFS_NOT_FOUND' });
});
