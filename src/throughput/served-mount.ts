/** A mount of the checkpoint on a temporary directory, served by a separate `mlfs mount --foreground` process. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { MlfsError } from '../errors.ts';
import { mountTableEntry } from '../storage/mount-table.ts';
import { programArguments } from './child-program.ts';

const MOUNT_DEADLINE_MS = 60_000;
const END_DEADLINE_MS = 10_000;

export interface ServedMount {
  readonly mountpoint: string;
  /** PID of the server. */
  readonly pid: number;
  /** Unmounts, waits until the server has ended, and removes the directory. */
  end(): Promise<void>;
}

export interface MountRequest {
  readonly checkpoint: string;
  readonly mode: 'read-only' | 'writable';
  readonly transport: string;
  readonly signal: AbortSignal;
}

/** Throws ERR_MLFS_FUSE with what the server said if it does not mount. */
export async function serveMount({
  checkpoint,
  mode,
  transport,
  signal,
}: MountRequest): Promise<ServedMount> {
  const folder = await mkdtemp(path.join(tmpdir(), 'mlfs-bench-'));
  const mountpoint = path.join(folder, 'mount');
  await mkdir(mountpoint);
  // The state directory is another one than the checkpoint's: edits that wait there are not what is measured.
  const how = mode === 'read-only' ? ['--read-only'] : ['--state', path.join(folder, 'state')];
  const args = ['mount', '--foreground', ...how, '--transport', transport, checkpoint, mountpoint];
  const child = spawn(process.execPath, [...programArguments('cli/main'), ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    complaint = `${complaint}${chunk}`.slice(-4000);
  });
  try {
    const deadline = Date.now() + MOUNT_DEADLINE_MS;
    while (!(await isMounted(mountpoint))) {
      signal.throwIfAborted();
      if (hasEnded(child)) throw mountFailed(checkpoint, complaint);
      if (Date.now() > deadline) throw mountFailed(checkpoint, 'it did not answer in time');
      await sleep(2);
    }
  } catch (cause) {
    await end(folder, mountpoint, child);
    throw cause;
  }
  return { mountpoint, pid: child.pid ?? 0, end: () => end(folder, mountpoint, child) };
}

function mountFailed(checkpoint: string, why: string): MlfsError {
  const reason = why
    .trim()
    .split('\n')[0]
    ?.replace(/^mlfs: /, '');
  return new MlfsError('ERR_MLFS_FUSE', `${checkpoint}: could not be mounted: ${reason}`, {
    path: checkpoint,
    advice: 'mlfs doctor says whether FUSE is usable here.',
  });
}

/** Asks the kernel's mount table, without touching the mount. */
async function isMounted(mountpoint: string): Promise<boolean> {
  return mountTableEntry(await readFile('/proc/self/mountinfo', 'utf8'), mountpoint) !== undefined;
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** A server unmounts when it is terminated; a mount that outlives its server is detached. */
async function end(folder: string, mountpoint: string, child: ChildProcess): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!hasEnded(child)) child.kill(signal);
    const deadline = Date.now() + END_DEADLINE_MS;
    while (!hasEnded(child) && Date.now() < deadline) await sleep(5);
  }
  if (await isMounted(mountpoint)) await detach(mountpoint);
  // Fails if it is still a mount: nothing below it may be removed then.
  await rmdir(mountpoint);
  await rm(folder, { recursive: true });
}

async function detach(mountpoint: string): Promise<void> {
  const run = promisify(execFile);
  try {
    await run('fusermount3', ['-u', '-z', mountpoint]);
  } catch {
    await run('umount', ['-l', mountpoint]);
  }
}
