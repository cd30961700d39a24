/** Files that output files of MLFS never replace. */
import { constants, lstat, open } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { MlfsError } from '../errors.ts';
import { DiskFile, diskError } from './disk-file.ts';
import { lockBase } from './lock.ts';
import type { FileInTheWay } from './new-file.ts';

/** What identifies a state directory: its lock and anything else, or the two files that edits need. */
const STATE_FILES = ['lock', 'base.json', 'journal', 'grads', 'activations'];

/**
 * Refuses a target that is one of MLFS's own files or lies beside them: a state directory with other files in it is never removed. `own`: a
 * state directory that need not exist yet. Throws ERR_MLFS_USAGE.
 */
export async function refuseStateDirectory(path: string, folder: string, own?: string): Promise<void> {
  for (let at = join(folder, basename(path)); ; at = dirname(at)) {
    if ((own !== undefined && at === resolve(own)) || (await isStateDirectory(at))) {
      throw new MlfsError('ERR_MLFS_USAGE', `${path}: lies in ${at}, a state directory of mlfs`, {
        path,
        advice: 'choose a folder of your own',
      });
    }
    if (at === dirname(at)) return;
  }
}

async function isStateDirectory(folder: string): Promise<boolean> {
  const found = await Promise.all(
    STATE_FILES.map((name) =>
      promisify(lstat)(join(folder, name)).then(
        () => true,
        () => false,
      ),
    ),
  );
  const [lock, base, journal, gradients, activations] = found;
  return (lock && (base || journal || gradients || activations)) || (base && journal) || false;
}

/** Throws ERR_MLFS_BUSY for a checkpoint that a process has open for writing. */
export async function refuseLocked(path: string, inTheWay: FileInTheWay): Promise<void> {
  const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
  let fd: number;
  try {
    fd = await promisify(open)(inTheWay.path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  } catch (cause) {
    // A checkpoint that we cannot read we cannot have mounted either; the folder decides whether it may be replaced.
    if ((cause as NodeJS.ErrnoException).code === 'EACCES') return;
    throw diskError(path, 'cannot be looked at', cause);
  }
  const file = new DiskFile(path, fd);
  try {
    const stranger = await lockBase(file.fd, path);
    // A lock that does not count may hide a mount, which only its state directory shows.
    if (stranger !== undefined) {
      throw new MlfsError('ERR_MLFS_BUSY', `${path}: is locked by a process of another user`, {
        path,
        advice: 'choose another name',
      });
    }
  } finally {
    await file.close();
  }
}
