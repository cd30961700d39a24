/** A checkpoint and a folder to mount it on, for tests of the command line. Other processes serve the mounts. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type NamedTensorToWrite, writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { type MountTableEntry, parseMountTable } from '../../src/storage/mount-table.ts';
import type { StatusDocument } from '../../src/targets/status-document.ts';
import { spawnMlfs } from './run-mlfs.ts';
import { temporaryDirectory } from './tmp.ts';

const run = promisify(execFile);

export const WEIGHT = Buffer.from(Float32Array.from({ length: 6 }, (_, index) => index / 7).buffer);
const TENSORS: readonly NamedTensorToWrite[] = [
  { name: 'fc.weight', dtype: 'float32', shape: [2, 3], fill: WEIGHT },
];

export interface Scene {
  readonly folder: string;
  readonly checkpoint: string;
  readonly mountpoint: string;
}

/** `tensors` of the checkpoint; default: `fc.weight` of 24 bytes. */
export async function scene(
  t: TestContext,
  tensors: readonly NamedTensorToWrite[] = TENSORS,
): Promise<Scene> {
  // Hooks run in this order: first unmount, then remove.
  let mountpoint = '';
  t.after(() => unmountAll(mountpoint));
  const folder = await temporaryDirectory(t);
  const checkpoint = join(folder, 'model.pt');
  mountpoint = join(folder, 'mount');
  await mkdir(mountpoint);
  await writeTorchZip(checkpoint, { tensors });
  return { folder, checkpoint, mountpoint };
}

export async function mountsOn(mountpoint: string): Promise<MountTableEntry[]> {
  return parseMountTable(await readFile('/proc/self/mountinfo', 'utf8')).filter(
    (entry) => entry.mountpoint === mountpoint,
  );
}

async function unmountAll(mountpoint: string): Promise<void> {
  const root = process.getuid?.() === 0;
  for (const _ of await mountsOn(mountpoint)) {
    await run(root ? 'umount' : 'fusermount3', [root ? '-l' : '-uz', mountpoint]);
  }
}

export async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (await holds()) return;
    await sleep(20);
  }
  assert.fail(`never: ${what}`);
}

/** A foreground mount that has printed its line. */
export async function foreground(
  { checkpoint, mountpoint }: Scene,
  transport: string,
  ...flags: string[]
): Promise<ChildProcess> {
  const child = spawnMlfs(['mount', '-f', '--transport', transport, ...flags, checkpoint, mountpoint]);
  await once(child.stdout, 'data');
  return child;
}

export async function statusOf({ mountpoint }: Pick<Scene, 'mountpoint'>): Promise<StatusDocument> {
  return JSON.parse(await readFile(join(mountpoint, 'sys/status.json'), 'utf8')) as StatusDocument;
}

export async function serverPid(at: Scene): Promise<number> {
  return (await statusOf(at)).pid;
}

export const alive = (pid: number) => existsSync(`/proc/${pid}/exe`);
