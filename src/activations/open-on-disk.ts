/** How files on disk are opened for requests of the mount. */
import { constants } from 'node:fs';
import type { RequestContext } from '../fuse/filesystem.ts';
import { O_ACCMODE } from '../fuse/open-policy.ts';
import * as host from './host-files.ts';

const { O_DSYNC, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC } = constants;

/** The flags of open(2) for the file on disk: the kernel handles the write position, and truncation is handled here. */
export function hostFlags(flags: number): number {
  const onlyCuts = (flags & O_ACCMODE) === O_RDONLY && changesBytes(flags);
  return (flags & (O_ACCMODE | O_SYNC | O_DSYNC)) | (onlyCuts ? O_RDWR : 0);
}

export function changesBytes(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0;
}

export function isForeign({ uid, gid }: RequestContext): boolean {
  return process.getuid?.() === 0 && (uid !== 0 || gid !== process.getgid?.());
}

/** Sets mode and owner of a new file, and returns its inode number. Closes the descriptor when that fails. */
export async function ownedFile(fd: number, mode: number, { uid, gid }: RequestContext): Promise<bigint> {
  try {
    await host.own(fd, mode, uid, gid);
    return host.statDescriptor(fd).ino;
  } catch (cause) {
    await host.close(fd);
    throw cause;
  }
}
