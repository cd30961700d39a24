/**
 * The same on a real disk: a process that edits a checkpoint there runs under strace, which lets the Nth call of one kind fail. Afterwards the
 * edits that were acknowledged are there, the checkpoint's checksums are right, and a commit works.
 */
import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as zlib from 'node:zlib';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { readArchive } from '../../src/checkpoint/zip/archive.ts';
import { WritableCheckpoint } from '../../src/targets/writable-checkpoint.ts';
import { output, run } from '../support/run.ts';
import { sourceOf } from './archives.ts';

/** What journal, state directory and commit are made of. */
export const SYSTEM_CALLS = [
  'pwrite64',
  'pwritev',
  'fdatasync',
  'fsync',
  'rename',
  'ftruncate',
  'unlink',
] as const;

const STORAGE_BYTES = 1000;
/** Steps of edit-folder.mjs that change both storages at once. */
const ATOMIC: readonly number[] = [3, 6];
const WRITES = 7;

const project = fileURLToPath(new URL('../..', import.meta.url));
const SCRIPT = fileURLToPath(new URL('./edit-folder.mjs', import.meta.url));

interface Step {
  readonly name: string;
  readonly errno?: string;
  readonly message?: string;
}

/** The sources as JavaScript: a process without a compiler starts, and makes system calls, ten times as fast. */
export async function buildSources(): Promise<{ built: string; remove: () => Promise<void> }> {
  const built = await mkdtemp(join(project, 'node_modules', '.mlfs-built-'));
  await output('npx', ['tsc', '-p', join(project, 'tsconfig.build.json'), '--outDir', built], {
    cwd: project,
  });
  return { built, remove: () => rm(built, { recursive: true, force: true }) };
}

/** Writes the checkpoint that every run edits a copy of. */
export async function writeOriginal(folder: string): Promise<string> {
  const path = join(folder, 'original.pt');
  await writeTorchZip(path, {
    tensors: ['a', 'b'].map((name) => ({
      name,
      dtype: 'uint8',
      shape: [STORAGE_BYTES],
      fill: Buffer.alloc(STORAGE_BYTES, 99),
    })),
  });
  return path;
}

export interface Injection {
  readonly call: (typeof SYSTEM_CALLS)[number];
  readonly errno: 'ENOSPC' | 'EIO';
  readonly when: number;
}

/** Returns whether there were that many calls. */
export async function inject(
  { call, errno, when }: Injection,
  { built, original, folder }: { built: string; original: string; folder: string },
): Promise<boolean> {
  const path = join(folder, 'model.pt');
  await copyFile(original, path);
  const trace = join(folder, 'trace');
  const strace = [
    '-f',
    '-qq',
    '-o',
    trace,
    '--seccomp-bpf',
    '-e',
    `trace=${call}`,
    '-e',
    `inject=${call}:error=${errno}:when=${when}`,
  ];
  const ended = await run('strace', [...strace, process.execPath, SCRIPT, built, path], {
    env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
  });
  const injected = (await readFile(trace, 'utf8')).includes('(INJECTED)');
  const where = `${call} number ${when} fails with ${errno}`;
  assert.equal(ended.code, 0, `${where}: ${ended.stderr}`);
  const steps = ended.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Step);
  const failed = steps.filter((step) => step.errno !== undefined);
  for (const step of failed) {
    assert.ok(step.errno === errno || step.message?.includes(errno), `${where}: ${JSON.stringify(step)}`);
  }
  assert.ok(injected || failed.length === 0, `${where}: ${JSON.stringify(failed)}`);
  await check(path, steps, where);
  await rm(path);
  await rm(`${path}.mlfs`, { recursive: true, force: true });
  return injected;
}

async function check(path: string, steps: readonly Step[], where: string): Promise<void> {
  const opened = await WritableCheckpoint.open(path);
  try {
    const { image, storages } = opened.checkpoint;
    const starts = [...storages.values()].map(({ bytes }) => (bytes.kind === 'extent' ? bytes.offset : -1));
    for (let number = 1; number <= WRITES; number++) {
      const acknowledged = steps.some(({ name, errno }) => name === `write ${number}` && errno === undefined);
      const atomic = ATOMIC.includes(number);
      const bytes = await Promise.all(
        (atomic ? starts : starts.slice(0, 1)).map((start) => image.read(start + number * 100, 100)),
      );
      const there = bytes.every((run) => run.equals(Buffer.alloc(100, number)));
      const absent = bytes.every((run) => run.equals(Buffer.alloc(100, 99)));
      assert.ok(there || (absent && !acknowledged), `${where}: write ${number} is not there, or in parts`);
    }
    await opened.edits.commit();
  } finally {
    await opened.close();
  }
  const file = await readFile(path);
  for (const { name, offset, size, crc32 } of (await readArchive(sourceOf(file))).entries) {
    assert.equal(zlib.crc32(file.subarray(offset, offset + size)), crc32, `${where}: checksum of ${name}`);
  }
}
