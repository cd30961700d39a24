/** Files of the disk by descriptor, and node:fs errors as MlfsError. */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { type ErrnoName, MlfsError, messageOf } from '../errors.ts';
import type { FilePlace } from './file-place.ts';
import type { MediumFile, SyncOptions } from './medium.ts';
import { readIfCached } from './read-if-cached.ts';

/** IOV_MAX of Linux. */
const MAX_PIECES = 1024;

const statfs = promisify(fs.statfs);

/** ext4, xfs, btrfs, tmpfs, overlay, zfs, f2fs, bcachefs. */
const LOCAL_TYPES: readonly number[] = [
  0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xf2f52010, 0xca451a4e,
];

/** Whether a path lies on a file system that never waits for another machine or process; false when its type is unknown. */
export async function isLocal(path: string): Promise<boolean> {
  // Some systems return the type as a signed 32-bit number.
  return LOCAL_TYPES.includes((await statfs(path)).type >>> 0);
}

/** A file of the disk. Owns its descriptor. */
export class DiskFile implements MediumFile {
  readonly path: string;
  readonly fd: number;
  readonly #place: FilePlace | undefined;
  /** Running calls use the bare descriptor. It must not be closed, and reused for another file, while they run. */
  #pending = 0;
  #closing: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  /** `place`: for a file whose name matters; absent for one without a name. */
  constructor(path: string, fd: number, place?: FilePlace) {
    this.path = path;
    this.fd = fd;
    this.#place = place;
  }

  /** Whether its path still leads to it, through the folders that it was opened in. */
  isInPlace(): boolean | Promise<boolean> {
    return this.#place === undefined || this.#place.isInPlace();
  }

  descriptor(): number {
    if (this.#closing !== undefined) throw this.#failed('access', 'the file was closed');
    return this.fd;
  }

  get nativePlace(): object | undefined {
    return this.#place?.native;
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

  /** Waits for running calls; later ones fail with ERR_MLFS_IO. */
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

export function codeOf(cause: unknown): string | undefined {
  return (cause as NodeJS.ErrnoException).code;
}

/** Errnos that tell the writer more than EIO. */
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

/** The error of a node:fs call as MlfsError. */
export function diskError(path: string, what: string, cause: unknown): MlfsError {
  if (cause instanceof MlfsError) return cause;
  const reason = withoutCall(messageOf(cause));
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

/** Node's message ends with the call and the path, which may be a descriptor's path; our message names the file itself. */
function withoutCall(message: string): string {
  return message.replace(/, \w+( '.*)?$/s, '');
}
