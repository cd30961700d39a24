/** `status`, `commit --dry-run`, a mount and `commit` say the same of edits, whatever became of the file since they were made. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { commit, openCheckpoint, status } from '../../../src/index.ts';
import { WritableCheckpoint } from '../../../src/targets/writable-checkpoint.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const run = promisify(execFile);
const BYTES = 64;

type Format = 'pt' | 'safetensors';

async function write(path: string, format: Format, value: number): Promise<void> {
  const fill = Buffer.alloc(BYTES, value);
  if (format === 'pt') {
    await writeTorchZip(path, { tensors: [{ name: 'b', dtype: 'uint8', shape: [BYTES], fill }] });
    return;
  }
  const header = Buffer.from(
    JSON.stringify({ b: { dtype: 'U8', shape: [BYTES], data_offsets: [0, BYTES] } }).padEnd(72),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.byteLength));
  await writeFile(path, Buffer.concat([length, header, fill]));
}

async function place(opened: WritableCheckpoint): Promise<number> {
  const bytes = opened.checkpoint.tensors[0]?.tensor.storage.bytes;
  return bytes?.kind === 'extent' ? bytes.offset : assert.fail('no storage');
}

/** A checkpoint and the edits that a mount of it left. */
async function edited(t: TestContext, format: Format): Promise<string> {
  const path = join(await temporaryDirectory(t), `model.${format}`);
  await write(path, format, 1);
  const opened = await WritableCheckpoint.open(path);
  const at = await place(opened);
  await opened.checkpoint.image.update((update) => update.write(at, Buffer.from([7, 7])));
  await opened.close();
  return path;
}

/** The commit of a process that died when it had written something of it into the file. */
async function interrupt(path: string): Promise<void> {
  const opened = await WritableCheckpoint.open(path);
  const failing = opened.edits.commit({
    onProgress: () => {
      throw new Error('cut short');
    },
  });
  await assert.rejects(failing, /cut short/);
  await opened.close();
}

async function touch(path: string): Promise<void> {
  await utimes(path, 1_700_000_000, 1_700_000_000);
}

async function replaceByCopy(path: string, keepTimes: boolean): Promise<void> {
  await run('cp', [...(keepTimes ? ['-p'] : []), path, `${path}.copy`]);
  if (!keepTimes) await touch(`${path}.copy`);
  await rename(`${path}.copy`, path);
}

async function replaceByAnother(path: string, format: Format): Promise<void> {
  await write(`${path}.other`, format, 2);
  await rename(`${path}.other`, path);
}

async function giveToAnotherUser(path: string): Promise<void> {
  const base = join(`${path}.mlfs`, 'base.json');
  const record = JSON.parse(await readFile(base, 'utf8')) as { uid: number };
  await writeFile(base, JSON.stringify({ ...record, uid: record.uid + 4321 }));
}

/** What became of the file, and in which formats the edits can go into it then. */
const STATES: Record<
  string,
  { become: (path: string, format: Format) => Promise<void>; accepted: readonly Format[]; reason?: string }
> = {
  'the file is untouched': { become: async () => undefined, accepted: ['pt', 'safetensors'] },
  // Without checksums only the times tell one file of a model from the next.
  'only its times changed': { become: touch, accepted: ['pt'] },
  'a copy has its place': { become: (path) => replaceByCopy(path, false), accepted: ['pt'] },
  'a copy with its times has its place': {
    become: (path) => replaceByCopy(path, true),
    accepted: ['pt', 'safetensors'],
  },
  'another file has its place': { become: replaceByAnother, accepted: [] },
  'another program wrote it in place': {
    become: (path, format) => write(path, format, 3),
    accepted: [],
  },
  'the edits are of another user': { become: giveToAnotherUser, accepted: [], reason: 'another-user' },
  'a commit was interrupted': { become: interrupt, accepted: ['pt', 'safetensors'] },
  'a commit was interrupted, and then its times changed': {
    become: async (path) => {
      await interrupt(path);
      await touch(path);
    },
    accepted: ['pt', 'safetensors'],
  },
  'a commit was interrupted, and then a copy took its place': {
    become: async (path) => {
      await interrupt(path);
      await replaceByCopy(path, true);
    },
    accepted: ['pt'],
  },
  'a commit was interrupted, and then another file took its place': {
    become: async (path, format) => {
      await interrupt(path);
      await replaceByAnother(path, format);
    },
    accepted: [],
  },
  'a commit was interrupted, and the edits are of another user': {
    become: async (path) => {
      await interrupt(path);
      await giveToAnotherUser(path);
    },
    accepted: [],
    reason: 'another-user',
  },
};

/** Whether it is done; false when the edits are refused. Anything else fails the test. */
async function isAccepted(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (cause) {
    assert.equal((cause as { code?: string }).code, 'ERR_MLFS_RECOVERY', String(cause));
    return false;
  }
}

for (const format of ['pt', 'safetensors'] as const) {
  describe(`of a .${format}`, () => {
    for (const [name, { become, accepted, reason }] of Object.entries(STATES)) {
      test(name, async (t) => {
        const path = await edited(t, format);
        await become(path, format);
        const before = await readFile(path);
        const expected = accepted.includes(format);
        const { state, stale_reason, unfinished_commit } = await status(path);
        assert.equal(state, expected ? 'current' : 'stale', 'status');
        assert.equal(stale_reason, expected ? null : (reason ?? 'changed'), 'status');
        assert.equal(await isAccepted(() => commit(path, { dryRun: true })), expected, 'commit --dry-run');
        assert.deepEqual(await readFile(path), before, 'to look changes nothing');
        assert.equal((await status(path)).unfinished_commit, unfinished_commit, 'to look finishes nothing');
        assert.equal(
          await isAccepted(async () => (await WritableCheckpoint.open(path)).close()),
          expected,
          'mount',
        );
        assert.equal(await isAccepted(() => commit(path)), expected, 'commit');
        if (!expected) assert.deepEqual(await readFile(path), before, 'refused edits change nothing');
        else assert.deepEqual(await firstBytes(path), [7, 7, 1]);
      });
    }
  });
}

async function firstBytes(path: string): Promise<number[]> {
  await using opened = await openCheckpoint(path);
  return [...(await opened.readTensor('b'))].slice(0, 3);
}
