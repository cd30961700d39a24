/**
 * Calls of the file system of the folder, relative to the descriptor of a folder (storage/folder-descriptor.ts).
 *
 * Invariant: no symbolic link is ever followed. A name is never a path, folders and files are opened with O_NOFOLLOW, and calls that act on
 * an inode by its path (chmod, utimes) use a descriptor that was checked first.
 */
import * as fs from 'node:fs';
import { getSystemErrorName, promisify } from 'node:util';
import { type ErrnoName, errno, MlfsError, messageOf } from '../errors.ts';
import { ERRNO } from '../fuse/protocol/errno.ts';
import { decodeName, encodeName, hasRawBytes } from '../fuse/protocol/name-bytes.ts';
import { O_PATH, pathOf, pathIn as textPathIn } from '../storage/folder-descriptor.ts';
import { type NewTimes, setFileTimes } from './file-times.ts';

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
  mkdir: promisify(fs.mkdir),
  rmdir: promisify(fs.rmdir),
  unlink: promisify(fs.unlink),
  rename: promisify(fs.rename),
  opendir: (path: string, options: fs.OpenDirOptions) => fs.promises.opendir(path, options),
  statfs: promisify(fs.statfs),
};

export type Stat = fs.BigIntStats;

/** The errno of a failed call, for the caller of the request. */
export function hostError(cause: unknown): MlfsError {
  if (cause instanceof MlfsError) return cause;
  const code = codeOf(cause as NodeJS.ErrnoException);
  if (Object.hasOwn(ERRNO, code)) return errno(code as ErrnoName);
  const same = SAME[code];
  if (same !== undefined) return errno(same);
  return new MlfsError('ERR_MLFS_IO', `activations: ${messageOf(cause)}`, {
    cause,
  });
}

/** Node's name of an errno; the addon reports only the number. */
function codeOf({ code, errno: number }: NodeJS.ErrnoException): string {
  return code ?? (number === undefined ? '' : getSystemErrorName(-Math.abs(number)));
}

/** Errnos that are reported as another one. A symbolic link is refused. */
const SAME: Readonly<Record<string, ErrnoName>> = { ELOOP: 'EPERM', EDQUOT: 'ENOSPC', ETXTBSY: 'EBUSY' };

async function told<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    throw hostError(cause);
  }
}

/** The path of a name in an open folder, also of a name that is not UTF-8. Throws EINVAL if it is not a single name. */
export function pathIn(folder: number, name: string): string | Buffer {
  const path = textPathIn(folder, name);
  return hasRawBytes(name) ? encodeName(path) : path;
}

/** A folder by its path. Throws ENOENT, ENOTDIR. */
export function openFolder(path: string | Buffer): Promise<number> {
  return told(calls.open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW));
}

/** Opens a name in a folder without access to its contents. Throws ENOENT. */
export function openPlace(folder: number, name: string): Promise<number> {
  return told(calls.open(pathIn(folder, name), O_PATH | O_NOFOLLOW));
}

/**
 * Duplicates a descriptor as an O_PATH descriptor that nobody else closes. Synchronous, because the first one may be closed as soon as other
 * code runs.
 */
export function openAgain(fd: number): number {
  try {
    return fs.openSync(pathOf(fd), O_PATH);
  } catch (cause) {
    throw hostError(cause);
  }
}

/** `flags` are used as given: the caller removes those that create or truncate. Opening a pipe does not wait. */
export function openFile(folder: number, name: string, flags: number, mode = 0): Promise<number> {
  return told(calls.open(pathIn(folder, name), flags | O_NOFOLLOW | O_NONBLOCK, mode));
}

export function close(fd: number): Promise<void> {
  return told(calls.close(fd));
}

/** Undefined if there is no such name. */
export async function statName(folder: number, name: string): Promise<Stat | undefined> {
  try {
    return await calls.lstat(pathIn(folder, name), { bigint: true });
  } catch (cause) {
    const refusal = hostError(cause);
    if (refusal.errno === 'ENOENT') return undefined;
    throw refusal;
  }
}

/** Synchronous: the file is known, and a thread would take twenty times as long as the call. */
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

/** Returns the number of bytes written: all, or those before the disk was full. */
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
 * Sets the requested mode of a new file, whatever the server's umask, and the owner who asked. Only root gives files away, and only root
 * serves other users.
 */
export async function own(fd: number, mode: number, uid: number, gid: number): Promise<void> {
  const stat = statDescriptor(fd);
  const foreign = Number(stat.uid) !== uid || Number(stat.gid) !== gid;
  if (foreign && process.getuid?.() === 0) await told(calls.fchown(fd, uid, gid));
  if ((Number(stat.mode) & 0o7777) !== mode) await told(calls.fchmod(fd, mode));
}

/** Leaves an id as it is. */
const SAME_ID = -1;

/** Attributes of what a descriptor leads to, also of one from `openPlace`. */
export const place = {
  chmod: (fd: number, mode: number) => told(calls.chmod(pathOf(fd), mode)),
  /** With neither id only the ctime changes. */
  chown: (fd: number, uid = SAME_ID, gid = SAME_ID) => told(calls.chown(pathOf(fd), uid, gid)),
  utimes: (fd: number, times: NewTimes) => told(setFileTimes(fd, times, () => statDescriptor(fd))),
};

/** S_ISUID and S_ISGID. */
const SET_ID = 0o6000;

/**
 * Removes the set-user-id and set-group-id bits of a file before it is written. Every other file system does so at the write, but only for a
 * writer who is not root, and the server may be root and write for another user. A caller who may not change the mode is not root either.
 */
export async function dropSetId(fd: number, stat: Stat): Promise<void> {
  const mode = Number(stat.mode) & 0o7777;
  if ((mode & SET_ID) === 0) return;
  try {
    await calls.fchmod(fd, mode & ~SET_ID);
  } catch (cause) {
    if (hostError(cause).errno !== 'EPERM') throw hostError(cause);
  }
}

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

/** Names of the files and folders; anything else is left out. */
export async function list(folder: number): Promise<{ name: string; kind: 'file' | 'directory' }[]> {
  const directory = await told(
    calls.opendir(pathOf(folder), { bufferSize: NAMES_AT_ONCE, encoding: 'buffer' as BufferEncoding }),
  );
  const found: { name: string; kind: 'file' | 'directory' }[] = [];
  try {
    for (let entry = await told(directory.read()); entry !== null; entry = await told(directory.read())) {
      // With the encoding "buffer" a name is a Buffer, whatever the type says.
      const name = decodeName(entry.name as unknown as Buffer);
      if (entry.isFile()) found.push({ name, kind: 'file' });
      else if (entry.isDirectory()) found.push({ name, kind: 'directory' });
    }
  } finally {
    await told(directory.close());
  }
  return found;
}

/** Names that are read from the disk together; between two batches other requests are answered. */
const NAMES_AT_ONCE = 256;

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
