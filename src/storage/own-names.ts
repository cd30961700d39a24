/** Names in folders that must be the caller's own: made, opened and checked one at a time, without following links. */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { MlfsError } from '../errors.ts';
import { codeOf, diskError } from './disk-file.ts';
import { O_PATH, pathIn } from './folder-descriptor.ts';
import { foreignError, foreignReason } from './foreign.ts';

/** node:fs with promises, without FileHandle's cost. */
export const call = {
  open: promisify(fs.open),
  close: promisify(fs.close),
  fstat: promisify(fs.fstat),
  lstat: promisify(fs.lstat),
  mkdir: promisify(fs.mkdir),
  readdir: promisify(fs.readdir),
  rename: promisify(fs.rename),
  rmdir: promisify(fs.rmdir),
  unlink: promisify(fs.unlink),
};

const { O_DIRECTORY, O_NOFOLLOW } = fs.constants;
const FOLDER = O_PATH | O_DIRECTORY | O_NOFOLLOW;
const MODE = 0o700;

/** Throws ERR_MLFS_ACCESS when it is not the caller's own, or of another kind. */
export function refuse(path: string, stat: fs.Stats, wanted: 'file' | 'directory'): void {
  const reason = foreignReason(stat, wanted);
  if (reason !== undefined) throw foreignError(path, reason);
}

/** Whether it was made now. */
export async function makeIn(folder: number, name: string): Promise<boolean> {
  try {
    await call.mkdir(pathIn(folder, name), { mode: MODE });
    return true;
  } catch (cause) {
    if (codeOf(cause) === 'EEXIST') return false;
    throw cause;
  }
}

export async function openIn(folder: number, name: string, path: string): Promise<number> {
  const fd = await openFolder(pathIn(folder, name), path);
  if (fd === undefined) throw notThere(path, 'cannot be opened');
  return fd;
}

/** `at` leads to it; messages show `path`. Undefined when it does not exist. Throws ERR_MLFS_ACCESS when it is not the caller's own. */
export async function openFolder(at: string, path: string): Promise<number | undefined> {
  let fd: number;
  try {
    fd = await call.open(at, FOLDER);
  } catch (cause) {
    const found = await call.lstat(at).catch(() => undefined);
    if (found !== undefined) refuse(path, found, 'directory');
    if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ENOTDIR') return undefined;
    throw diskError(path, 'cannot be opened', cause);
  }
  try {
    refuse(path, await call.fstat(fd), 'directory');
    return fd;
  } catch (cause) {
    await call.close(fd);
    throw cause;
  }
}

export function notThere(path: string, what: string): MlfsError {
  return new MlfsError('ERR_MLFS_NOT_FOUND', `${path}: ${what}: no such file`, { path });
}

/** The failure as MlfsError: `path` and `what` say what failed. */
export async function told<T>(path: string, what: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (cause) {
    // It was replaced by a link or a socket since it was checked.
    if (codeOf(cause) === 'ELOOP') throw foreignError(path, 'is a symbolic link, which is not followed');
    if (codeOf(cause) === 'ENXIO') throw foreignError(path, 'is not a regular file');
    throw diskError(path, what, cause);
  }
}
