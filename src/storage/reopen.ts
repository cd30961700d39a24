import { type BigIntStats, close, constants, fstat, open } from 'node:fs';
import { promisify } from 'node:util';
import { MlfsError } from '../errors.ts';
import { DiskFile, diskError } from './disk-file.ts';
import { type BaseLock, lockBase } from './lock.ts';

const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);
const statOf = promisify(fstat) as (fd: number, options: { bigint: true }) => Promise<BigIntStats>;

const FLAGS = { read: constants.O_RDONLY, write: constants.O_RDWR } as const;

/**
 * Opens the file of a descriptor again, wherever its name leads by now. The new descriptor has its own position, mode and locks. `path` is
 * for messages. Throws ERR_MLFS_ACCESS, ERR_MLFS_IO.
 */
export async function reopen(fd: number, path: string, how: 'read' | 'write'): Promise<DiskFile> {
  let own: number;
  try {
    own = await openDescriptor(`/proc/self/fd/${fd}`, FLAGS[how]);
  } catch (cause) {
    throw diskError(path, 'cannot be opened', cause);
  }
  const [before, after] = await Promise.all([statOf(fd, { bigint: true }), statOf(own, { bigint: true })]);
  if (before.dev === after.dev && before.ino === after.ino) return new DiskFile(path, own);
  await closeDescriptor(own);
  throw new MlfsError('ERR_MLFS_IO', `${path}: /proc/self/fd does not lead to the file that is open`, {
    path,
  });
}

/** Locks an open checkpoint file until it is released. The lock has a descriptor of its own. Throws ERR_MLFS_BUSY, ERR_MLFS_ACCESS. */
export async function lockOpenFile(fd: number, path: string): Promise<BaseLock> {
  const file = await reopen(fd, path, 'read');
  try {
    const stranger = await lockBase(file.fd, path);
    return { stranger, release: () => file.close() };
  } catch (cause) {
    await file.close();
    throw cause;
  }
}
