import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { MlfsError } from '../../errors.ts';
import { mountTableEntry } from './mount-table.ts';

/**
 * Detaches a mount point. In a process of its own: umount(2) may ask the server, and must not ask the thread that waits.
 * Throws ERR_MLFS_BUSY while somebody uses the mount.
 */
export async function unmountPath(mountpoint: string, lazy = false): Promise<void> {
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
