import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { MlfsError } from '../../errors.ts';
import { mountTableEntry } from '../../storage/mount-table.ts';

/**
 * How long to wait before each new attempt at a mount in use. Programs that look at every mount (df, an indexer, `mlfs status` of any
 * checkpoint) use each one for some milliseconds; who works in it uses it for longer.
 */
const BUSY_WAITS_MS = [10, 30, 60, 100, 200, 400];

/**
 * Detaches a mount point. In a process of its own: umount(2) may ask the server, and must not ask the thread that waits.
 * Throws ERR_MLFS_BUSY when somebody still uses the mount after 0.8 s.
 */
export async function unmountPath(mountpoint: string, lazy = false): Promise<void> {
  for (const waitMs of BUSY_WAITS_MS) {
    try {
      return await detach(mountpoint, lazy);
    } catch (cause) {
      if (!(cause instanceof MlfsError && cause.code === 'ERR_MLFS_BUSY')) throw cause;
      await delay(waitMs);
    }
  }
  return detach(mountpoint, lazy);
}

async function detach(mountpoint: string, lazy: boolean): Promise<void> {
  const [program, args] =
    process.getuid?.() === 0
      ? ['umount', lazy ? ['-l', '--', mountpoint] : ['--', mountpoint]]
      : ['fusermount3', lazy ? ['-u', '-z', '--', mountpoint] : ['-u', '--', mountpoint]];
  try {
    await promisify(execFile)(program as string, args as string[]);
  } catch (cause) {
    const complaint = String((cause as { stderr?: string }).stderr || (cause as Error).message).trim();
    if (mountTableEntry(await readFile('/proc/self/mountinfo', 'utf8'), mountpoint) === undefined) return;
    throw /busy/i.test(complaint)
      ? new MlfsError('ERR_MLFS_BUSY', `${mountpoint}: in use`, { path: mountpoint, cause })
      : new MlfsError('ERR_MLFS_FUSE', `${mountpoint}: ${complaint}`, { path: mountpoint, cause });
  }
}
