/**
 * Calls of the file system that the folder lies on, relative to the descriptor of a folder (storage/folder-descriptor.ts).
 *
 * Invariant: no symbolic link is ever followed. A name is never a path, folders and files are opened with O_NOFOLLOW, and what acts on an
 * inode by its path (chmod, utimes) acts on a descriptor that was looked at first.
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { type ErrnoName, errno, MlfsError } from '../errors.ts';
import { ERRNO } from '../fuse/protocol/errno.ts';
import { O_PATH, pathIn, pathOf } from '../storage/folder-descriptor.ts';

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants;

const calls = {
  open: promisify(fs.open),
  close: promisify(fs.close),
  lstat: promisify(fs.lstat),
  read: promisify(fs.read),
  write: promisify(fs.write),
  fsync: promisify(fs.fsync),
  fdatasync: promisify(fs.fdatasync),
  ftruncate: promisify(fs.ftruncate),
  fchmod: promisify(fs.fchmod),
  fchown: promisify(fs.fchown),
  chmod: promisify(fs.chmod),
  chown: promisify(fs.chown),
  utimes: promisify(fs.utimes),
  mkdir: promisify(fs.mkdir),
  rmdir: promisify(fs.rmdir),
  unlink: promisify(fs.unlink),
  rename: promisify(fs.rename),
  readdir: promisify(fs.readdir),
  statfs: promisify(fs.statfs),
};

export type Stat = fs.BigIntStats;

/** The errno of a failed call for whoever made the request. */
export function hostError(cause: unknown): MlfsError {
  if (cause instanceof MlfsError) return cause;
  const code = (cause as NodeJS.ErrnoException).code ?? '';
  if (Object.hasOwn(ERRNO, code)) return errno(code as ErrnoName);
  const same = SAME[code];
  if (same !== undefined) return errno(same);
  return new MlfsError('ERR_MLFS_IO', `activations: ${cause instanceof Error ? cause.message : cause}`, {
    cause,
  });
}

/** Errnos that are told as another. A symbolic link is refused. */
const SAME: Readonly<Record<string, ErrnoName>> = { ELOOP: 'EPERM', EDQUOT: 'ENOSPC', ETXTBSY: 'EBUSY' };

async function told<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    throw hostError(cause);
  }
}

/** A folder by its path. Throws ENOENT, ENOTDIR. */
export function openFolder(path: string): Promise<number> {
  return told(calls.open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW));
}

/** A name in a folder as it is, without permission for its contents. Throws ENOENT. */
export function openPlace(folder: number, name: string): Promise<number> {
  return told(calls.open(pathIn(folder, name), O_PATH | O_NOFOLLOW));
}

/** `flags` without those that create or cut are the caller's affair. A pipe that somebody put there is not waited for. */
export function openFile(folder: number, name: string, flags: number, mode = 0): Promise<number> {
  return told(calls.open(pathIn(folder, name), flags | O_NOFOLLOW | O_NONBLOCK, mode));
}

export function close(fd: number): Promise<void> {
  return told(calls.close(fd));
}

/** Undefined when there is no such name. */
export async function statName(folder: number, name: string): Promise<Stat | undefined> {
  try {
    return await calls.lstat(pathIn(folder, name), { bigint: true });
  } catch (cause) {
    const refusal = hostError(cause);
    if (refusal.errno === 'ENOENT') return undefined;
    throw refusal;
  }
}

/** At once: what was opened is known, and a thread's detour costs twenty times the call. */
export function statDescriptor(fd: number): Stat {
  try {
    return fs.fstatSync(fd, { bigint: true });
  } catch (cause) {
    throw hostError(cause);
  }
}

/** At most `length` bytes, fewer only at the end of the file. */
export async function read(fd: number, offset: number, length: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafe(length);
  let at = 0;
  while (at < length) {
    const { bytesRead } = await told(calls.read(fd, buffer, at, length - at, offset + at));
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return buffer.subarray(0, at);
}

/** The number of bytes that were taken: all, or those before the disk was full. */
export async function write(fd: number, offset: number, bytes: Uint8Array): Promise<number> {
  let at = 0;
  while (at < bytes.byteLength) {
    try {
      const { bytesWritten } = await calls.write(fd, bytes, at, bytes.byteLength - at, offset + at);
      at += bytesWritten;
    } catch (cause) {
      if (at > 0) return at;
      throw hostError(cause);
    }
  }
  return at;
}

export function sync(fd: number, datasync: boolean): Promise<void> {
  return told(datasync ? calls.fdatasync(fd) : calls.fsync(fd));
}

export function truncate(fd: number, size: number): Promise<void> {
  return told(calls.ftruncate(fd, size));
}

/**
 * Gives a new file the mode that was asked for, whatever our own umask, and the owner who asked. Only root gives files away, and only root
 * serves others than itself.
 */
export async function own(fd: number, mode: number, uid: number, gid: number): Promise<void> {
  const stat = statDescriptor(fd);
  const foreign = Number(stat.uid) !== uid || Number(stat.gid) !== gid;
  if (foreign && process.getuid?.() === 0) await told(calls.fchown(fd, uid, gid));
  if ((Number(stat.mode) & 0o7777) !== mode) await told(calls.fchmod(fd, mode));
}

/** Attributes of what a descriptor leads to, one of `openPlace` too. */
export const place = {
  chmod: (fd: number, mode: number) => told(calls.chmod(pathOf(fd), mode)),
  chown: (fd: number, uid: number, gid: number) => told(calls.chown(pathOf(fd), uid, gid)),
  utimes: (fd: number, atimeMs: number, mtimeMs: number) =>
    told(calls.utimes(pathOf(fd), atimeMs / 1000, mtimeMs / 1000)),
};

export function makeFolder(folder: number, name: string): Promise<void> {
  return told(calls.mkdir(pathIn(folder, name), 0o700).then(() => undefined));
}

export function removeFolder(folder: number, name: string): Promise<void> {
  return told(calls.rmdir(pathIn(folder, name)));
}

export function removeFile(folder: number, name: string): Promise<void> {
  return told(calls.unlink(pathIn(folder, name)));
}

export function rename(folder: number, name: string, newFolder: number, newName: string): Promise<void> {
  return told(calls.rename(pathIn(folder, name), pathIn(newFolder, newName)));
}

/** Names of the files and folders; what is neither is left out. */
export async function list(folder: number): Promise<{ name: string; kind: 'file' | 'directory' }[]> {
  const found = await told(calls.readdir(pathOf(folder), { withFileTypes: true }));
  return found
    .filter((entry) => (entry.isFile() || entry.isDirectory()) && !entry.name.includes(NOT_UTF8))
    .map((entry) => ({
      name: entry.name,
      kind: entry.isFile() ? ('file' as const) : ('directory' as const),
    }));
}

/** What a byte that is no UTF-8 is read as: such a name could not be found again. */
const NOT_UTF8 = '\ufffd';

/** Makes the names in a folder durable. */
export async function syncFolder(folder: number): Promise<void> {
  const fd = await told(calls.open(`${pathOf(folder)}/.`, O_RDONLY | O_DIRECTORY));
  try {
    await sync(fd, false);
  } finally {
    await close(fd);
  }
}

export function statfs(path: string): Promise<fs.StatsFs> {
  return told(calls.statfs(path));
}
