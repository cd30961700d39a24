import { randomBytes } from 'node:crypto';
import { constants, open as openCallback, unlink as unlinkCallback } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { DiskFile, diskError } from './disk-file.ts';
import type { MediumFile } from './medium.ts';

const open = promisify(openCallback);
const unlink = promisify(unlinkCallback);

/** Linux's O_TMPFILE, which Node does not name: one bit of its own, and O_DIRECTORY. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/**
 * A file without a name, which is gone with its descriptor, on the file system of `directory`: in it, or in the nearest folder above it
 * that is there; in the system's folder for temporary files if nobody may write there.
 */
export async function unnamedFile(directory: string): Promise<MediumFile> {
  for (let folder = directory; ; folder = dirname(folder)) {
    // `directory` may have become a link to a file system of somebody else's; the folders above it are reached as the user reaches them.
    const follow = folder === directory ? constants.O_NOFOLLOW : 0;
    const file = await unnamedIn(folder, follow).catch((cause: NodeJS.ErrnoException) => {
      const above = folder !== dirname(folder);
      if (above && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR' || cause.code === 'ELOOP'))
        return undefined;
      return unnamedIn(tmpdir(), 0).catch(() => {
        throw diskError(folder, 'a scratch file cannot be made', cause);
      });
    });
    if (file !== undefined) return file;
  }
}

async function unnamedIn(folder: string, flags: number): Promise<MediumFile> {
  const path = join(folder, `.mlfs-scratch-${randomBytes(6).toString('hex')}`);
  try {
    return new DiskFile(path, await open(folder, O_TMPFILE | constants.O_RDWR | flags, 0o600));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'EOPNOTSUPP' && code !== 'EISDIR' && code !== 'EINVAL') throw cause;
  }
  // A file system that has no such thing.
  const fd = await open(path, 'wx+', 0o600);
  await unlink(path);
  return new DiskFile(path, fd);
}
