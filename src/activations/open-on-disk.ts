/** How the files on disk are opened for what is asked of the mount. */
import { constants } from 'node:fs';
import type { RequestContext } from '../fuse/filesystem.ts';
import { O_ACCMODE } from '../fuse/open-policy.ts';
import * as host from './host-files.ts';

const { O_DSYNC, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC } = constants;

/** What of open(2)'s flags the file on disk is opened with: where to write is the kernel's affair, cutting ours. */
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

/** Gives a file that was just made its mode and its owner, and returns its inode number. Closes the descriptor when that fails. */
export async function ownedFile(fd: number, mode: number, { uid, gid }: RequestContext): Promise<bigint> {
  try {
    await host.own(fd, mode, uid, gid);
    return host.statDescriptor(fd).ino;
  } catch (cause) {
    await host.close(fd);
    throw cause;
  }
}
