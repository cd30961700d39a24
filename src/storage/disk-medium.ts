/**
 * The medium that is a file system: node:fs with callbacks, which costs a fraction of FileHandle's promises. A write goes on after a short
 * count until everything is written; a file is closed when nothing is under way on it any more.
 */
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { type ErrnoName, MlfsError } from '../errors.ts';
import type { Medium, MediumFile, SyncOptions } from './medium.ts';
import { readIfCached } from './read-if-cached.ts';

const open = promisify(fs.open);
const readdir = promisify(fs.readdir);
const makeDirectory = promisify(fs.mkdir);
const rename = promisify(fs.rename);
const unlink = promisify(fs.unlink);
const removeDirectory = promisify(fs.rmdir);

const FLAGS = { read: 'r', write: 'r+', create: 'wx+' } as const;
/** IOV_MAX of Linux. */
const MAX_PIECES = 1024;

export const diskMedium: Medium = {
  async open(path, how) {
    try {
      return new DiskFile(path, await open(path, FLAGS[how], 0o600));
    } catch (cause) {
      throw diskError(path, 'cannot be opened', cause);
    }
  },

  async list(directory) {
    try {
      return (await readdir(directory)).sort();
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT') return [];
      throw diskError(directory, 'cannot be listed', cause);
    }
  },

  async makeDirectory(path) {
    try {
      const first = await makeDirectory(path, { recursive: true, mode: 0o700 });
      // The names of parents that had to be made; that of `path` itself is for the caller to make durable.
      if (first === undefined) return;
      for (let made = dirname(path); made.length >= first.length; made = dirname(made)) {
        await diskMedium.syncDirectory(dirname(made));
      }
    } catch (cause) {
      throw diskError(path, 'cannot be made', cause);
    }
  },

  async rename(from, to) {
    try {
      await rename(from, to);
    } catch (cause) {
      throw diskError(from, `cannot be renamed to ${to}`, cause);
    }
  },

  async remove(path) {
    try {
      await unlink(path).catch((cause: unknown) => {
        if (codeOf(cause) !== 'EISDIR') throw cause;
        return removeDirectory(path);
      });
    } catch (cause) {
      throw diskError(path, 'cannot be removed', cause);
    }
  },

  async syncDirectory(path) {
    try {
      const fd = await open(path, 'r');
      try {
        await promisify(fs.fsync)(fd);
      } finally {
        await promisify(fs.close)(fd);
      }
    } catch (cause) {
      throw diskError(path, 'the folder cannot be synced', cause);
    }
  },
};

/** A file of the disk, by its descriptor, which it owns. */
export class DiskFile implements MediumFile {
  readonly path: string;
  readonly fd: number;
  /** Calls under way use the bare descriptor, which must not be closed, and given to another file, under them. */
  #pending = 0;
  #closing: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  constructor(path: string, fd: number) {
    this.path = path;
    this.fd = fd;
  }

  async size(): Promise<number> {
    return (await this.#call<fs.Stats>('size', (done) => fs.fstat(this.fd, done))).size;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.#refuseUnsafe(offset, length);
    const buffer = Buffer.allocUnsafe(length);
    let at = this.#closing === undefined ? readIfCached(this.fd, buffer, offset) : 0;
    while (at < length) {
      const from = at;
      const count = await this.#call<number>(`read at byte ${offset + at}`, (done) =>
        fs.read(this.fd, buffer, from, length - from, offset + from, done),
      );
      if (count === 0) {
        throw new MlfsError(
          'ERR_MLFS_TRUNCATED',
          `${this.path}: bytes ${offset} to ${offset + length} were asked for, but the file ends at byte ${offset + at}`,
          { path: this.path },
        );
      }
      at += count;
    }
    return buffer;
  }

  async write(offset: number, pieces: readonly Uint8Array[]): Promise<void> {
    let at = offset;
    let rest: readonly Uint8Array[] = pieces.filter((piece) => piece.byteLength > 0);
    this.#refuseUnsafe(offset, byteLengthOf(rest));
    while (rest.length > 0) {
      const vector = rest.slice(0, MAX_PIECES);
      const position = at;
      const count = await this.#call<number>(`write at byte ${at}`, (done) =>
        fs.writev(this.fd, vector, position, done),
      );
      if (count === 0) throw this.#failed(`write at byte ${at}`, 'nothing was written');
      at += count;
      rest = withoutFirst(rest, count);
    }
  }

  truncate(size: number): Promise<void> {
    return this.#call<void>(`truncation to ${size} bytes`, (done) => fs.ftruncate(this.fd, size, done));
  }

  sync({ times = false }: SyncOptions = {}): Promise<void> {
    return this.#call<void>('sync', (done) => (times ? fs.fsync : fs.fdatasync)(this.fd, done));
  }

  /** Waits for the calls under way; later ones fail with ERR_MLFS_IO. */
  close(): Promise<void> {
    this.#closing ??= this.#closeWhenDrained();
    return this.#closing;
  }

  async #closeWhenDrained(): Promise<void> {
    if (this.#pending > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    try {
      await promisify(fs.close)(this.fd);
    } catch (cause) {
      throw diskError(this.path, 'closing failed', cause);
    }
  }

  #call<T>(what: string, start: (done: (error: Error | null, value?: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) {
        reject(this.#failed(what, 'the file was closed'));
        return;
      }
      this.#pending++;
      start((error, value) => {
        if (--this.#pending === 0) this.#drained?.();
        if (error) reject(diskError(this.path, `${what} failed`, error));
        else resolve(value as T);
      });
    });
  }

  #refuseUnsafe(offset: number, length: number): void {
    if (Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && Number.isSafeInteger(offset + length))
      return;
    throw this.#failed(`bytes ${offset} to ${offset + length}`, 'no file has such a place');
  }

  #failed(what: string, reason: string): MlfsError {
    return new MlfsError('ERR_MLFS_IO', `${this.path}: ${what} failed: ${reason}`, { path: this.path });
  }
}

function byteLengthOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
}

/** What is left of the pieces after `count` bytes of them were written. */
function withoutFirst(pieces: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let rest = count;
  let whole = 0;
  for (const { byteLength } of pieces) {
    if (byteLength > rest) break;
    rest -= byteLength;
    whole++;
  }
  if (rest === 0) return pieces.slice(whole);
  const [partly, ...others] = pieces.slice(whole);
  return partly === undefined ? [] : [partly.subarray(rest), ...others];
}

function codeOf(cause: unknown): string | undefined {
  return (cause as NodeJS.ErrnoException).code;
}

/** Errnos that say more than EIO to whoever wrote. */
const TOLD: Record<string, ErrnoName> = {
  ENOSPC: 'ENOSPC',
  EDQUOT: 'ENOSPC',
  EFBIG: 'EFBIG',
  EEXIST: 'EEXIST',
  ENOTEMPTY: 'ENOTEMPTY',
  EISDIR: 'EISDIR',
  ENOMEM: 'ENOMEM',
  ENAMETOOLONG: 'ENAMETOOLONG',
  EBUSY: 'EBUSY',
  EROFS: 'EROFS',
  EMFILE: 'EMFILE',
  ENFILE: 'ENFILE',
};

/** The error of a call of node:fs, as this medium's own are. */
export function diskError(path: string, what: string, cause: unknown): MlfsError {
  if (cause instanceof MlfsError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const code = codeOf(cause);
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new MlfsError('ERR_MLFS_NOT_FOUND', `${path}: ${what}: no such file`, { path, cause });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new MlfsError('ERR_MLFS_ACCESS', `${path}: ${what}: permission denied`, { path, cause });
  }
  const errno = code === undefined ? undefined : TOLD[code];
  return new MlfsError('ERR_MLFS_IO', `${path}: ${what}: ${reason}`, {
    path,
    cause,
    ...(errno === undefined ? {} : { errno }),
    ...(errno === 'ENOSPC' ? { advice: `Make room on the file system of ${path}.` } : {}),
  });
}
