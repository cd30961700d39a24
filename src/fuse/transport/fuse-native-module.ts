import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { MlfsError, messageOf } from '../../errors.ts';

/** The package's file attributes, those of stat(2). Times in milliseconds. */
export interface FuseNativeStat {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly nlink: number;
  readonly ino: number;
  readonly blksize: number;
  readonly blocks: number;
  readonly atime: number;
  readonly mtime: number;
  readonly ctime: number;
}

export interface FuseNativeStatfs {
  readonly bsize: number;
  readonly frsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
  readonly favail: number;
  readonly namemax: number;
}

/** Completes an operation: 0, a negative errno, or for read and write the number of bytes. */
export type Done<Rest extends unknown[] = []> = (result: number, ...rest: Rest) => void;

export interface FuseNativeOperations {
  getattr(path: string, done: Done<[stat?: FuseNativeStat]>): void;
  readdir(path: string, done: Done<[names?: string[], stats?: FuseNativeStat[]]>): void;
  open(path: string, flags: number, done: Done<[handle?: number]>): void;
  read(path: string, handle: number, buffer: Buffer, length: number, offset: number, done: Done): void;
  write(path: string, handle: number, buffer: Buffer, length: number, offset: number, done: Done): void;
  flush(path: string, handle: number, done: Done): void;
  release(path: string, handle: number, done: Done): void;
  fsync(path: string, datasync: number, handle: number, done: Done): void;
  fsyncdir(path: string, datasync: number, handle: number, done: Done): void;
  /** The package does not pass the flags. */
  create(path: string, mode: number, done: Done<[handle?: number]>): void;
  mknod(path: string, mode: number, device: number, done: Done): void;
  mkdir(path: string, mode: number, done: Done): void;
  unlink(path: string, done: Done): void;
  rmdir(path: string, done: Done): void;
  rename(path: string, newPath: string, done: Done): void;
  link(path: string, newPath: string, done: Done): void;
  symlink(target: string, path: string, done: Done): void;
  chmod(path: string, mode: number, done: Done): void;
  /** 4,294,967,295 leaves an id unchanged. */
  chown(path: string, uid: number, gid: number, done: Done): void;
  /** Times in milliseconds. */
  utimens(path: string, atimeMs: number, mtimeMs: number, done: Done): void;
  statfs(path: string, done: Done<[statfs?: FuseNativeStatfs]>): void;
  access(path: string, mask: number, done: Done): void;
  truncate(path: string, size: number, done: Done): void;
  ftruncate(path: string, handle: number, size: number, done: Done): void;
  /** Its presence says that xattrs are supported; `_op_getxattr` and `_op_listxattr` are called. */
  getxattr(path: string, name: string, position: number, done: Done): void;
  listxattr(path: string, done: Done): void;
  /** The same for attributes of open files: `_op_fgetattr`. */
  fgetattr(path: string, descriptor: number, done: Done): void;
}

/** An operation with the same answer whatever its arguments; the callback is the last argument. */
export type Refusal = (...args: unknown[]) => void;

export interface FuseNativeOptions {
  readonly timeout: false;
  readonly fsname: string;
  readonly subtype: string;
  readonly allowOther: boolean;
  readonly defaultPermissions: boolean;
}

/** One mount of the package. Methods with an underscore are its own, and are overridden where they are wrong. */
export interface FuseNative {
  mount(done: (error: Error | null) => void): void;
  unmount(done: (error: Error | null) => void): void;
  _op_getxattr(signal: XattrSignal, path: string, name: string, value: Buffer, position: number): void;
  _op_listxattr(signal: XattrSignal, path: string, list: Buffer): void;
  /** Asks `this.ops.getattr` for the path, whatever the descriptor. */
  _op_fgetattr(
    this: { readonly ops: Pick<FuseNativeOperations, 'getattr'> & { readonly fgetattr: true } },
    signal: Done<unknown[]>,
    path: string,
    descriptor: number,
  ): void;
}

/** Takes the result, and the memory that is returned to libfuse. */
export type XattrSignal = (result: number, memory: ArrayBufferLike) => void;

export interface FuseNativeClass {
  new (
    mountpoint: string,
    operations: FuseNativeOperations & Readonly<Record<string, unknown>>,
    options: FuseNativeOptions,
  ): FuseNative;
  unmount(mountpoint: string, done: (error: Error | null) => void): void;
}

/**
 * Loads the optional package at the first use. Its addon needs libfuse.so.2 but does not say where it is. The system finds Debian's libfuse2;
 * if that is not installed, the copy in the package is loaded first, and the dynamic linker then finds it by its SONAME. Throws
 * ERR_MLFS_FUSE.
 */
export function loadFuseNative(): FuseNativeClass {
  const require = createRequire(import.meta.url);
  let packageFolder: string;
  try {
    packageFolder = dirname(require.resolve('fuse-native/package.json'));
  } catch (cause) {
    throw new MlfsError('ERR_MLFS_FUSE', 'the package fuse-native is not installed', {
      advice: 'mlfs doctor says what is missing here; or mount with --transport kernel',
      cause,
    });
  }
  try {
    return require('fuse-native') as FuseNativeClass;
  } catch (first) {
    if (!String(first).includes(LIBRARY)) throw unusable(first);
  }
  try {
    loadShippedLibrary(packageFolder);
    return require('fuse-native') as FuseNativeClass;
  } catch (second) {
    throw unusable(second);
  }
}

const LIBRARY = 'libfuse.so.2';

/** dlopen(3): stay mapped after a close. Node closes a library that turns out not to be an addon. */
const RTLD_NODELETE = 0x1000;

function loadShippedLibrary(packageFolder: string): void {
  const shipped = join(packageFolder, 'prebuilds', `${process.platform}-${process.arch}`, 'libfuse.so');
  if (!existsSync(shipped)) return;
  try {
    process.dlopen({ exports: {} }, shipped, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
  } catch (cause) {
    // A plain library is not an addon, and Node reports that after it has loaded it.
    if (!String(cause).includes('did not self-register')) throw cause;
  }
}

function unusable(cause: unknown): MlfsError {
  const reason = messageOf(cause).split('\n', 1)[0];
  return new MlfsError('ERR_MLFS_FUSE', `fuse-native cannot be loaded: ${reason}`, {
    advice: 'apt-get install libfuse2, or mount with --transport kernel',
    cause,
  });
}
