import { randomBytes } from 'node:crypto';
import { constants, open as openCallback, unlink as unlinkCallback } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { DiskFile, diskError } from './disk-file.ts';
import type { MediumFile } from './medium.ts';

const open = promisify(openCallback);
const unlink = promisify(unlinkCallback);

/** O_TMPFILE of Linux, which Node does not name: one bit of its own, and O_DIRECTORY. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/**
 * A nameless file that disappears with its descriptor, on the file system of `directory`: in it, or in its nearest existing parent. Where
 * that is not writable, it is made in the system's folder for temporary files.
 */
export async function unnamedFile(directory: string): Promise<MediumFile> {
  for (let folder = directory; ; folder = dirname(folder)) {
    // Another user may have replaced `directory` with a link; the folders above it are resolved as usual.
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
  // The file system does not support O_TMPFILE.
  const fd = await open(path, 'wx+', 0o600);
  await unlink(path);
  return new DiskFile(path, fd);
}
