/**
 * Who may write: one process a checkpoint. Two locks ensure that. An flock(2) on the checkpoint file itself is held as long as the mount,
 * and needs no file to be made. The `lock` file of a state directory says in words who holds it, and works without the addon. Both end with
 * the process.
 *
 * Whoever can read the checkpoint can lock it, and must not lock out its users: a lock held by anyone but the caller, root or the file's
 * owner does not count (lock-holders.ts). Nobody else can open the lock file of a state directory, so that lock always counts. Where the
 * first lock cannot be taken, the second is taken at once.
 */
import { readFile } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { MlfsError } from '../errors.ts';
import { diskMedium } from './disk-medium.ts';
import { inheritedHolder, lockHolders, startTimeOf } from './lock-holders.ts';
import type { Medium, MediumFile } from './medium.ts';
import { parseMountTable } from './mount-table.ts';
import { loadNative } from './native.ts';

export interface FileLock {
  release(): Promise<void>;
}

/** What a lock file says about its holder. */
export interface Holder {
  readonly pid: number;
  /** Start time in clock ticks since the machine started: the pid alone may belong to another process by now. */
  readonly startTime: string;
  readonly mountpoint?: string;
}

/** The lock of a checkpoint file. */
export interface BaseLock extends FileLock {
  /** Present when another user's process, whose lock does not count, holds the file. Nothing is locked then, and the other lock must do. */
  readonly stranger: Stranger | undefined;
}

/** A process of another user who can read the file and so could lock it. */
export interface Stranger {
  /** Undefined when the process cannot be found. */
  readonly pid: number | undefined;
}

/** Locks a checkpoint until it is released. Throws ERR_MLFS_BUSY that names the holder's pid, ERR_MLFS_NOT_FOUND, ERR_MLFS_ACCESS. */
export async function lockFile(path: string): Promise<BaseLock> {
  const file = await diskMedium.open(path, 'read');
  try {
    const stranger = await lockBase(file.fd as number, path);
    return { stranger, release: () => file.close() };
  } catch (cause) {
    await file.close();
    throw cause;
  }
}

/** Whether the caller, root or the file's owner has the checkpoint locked. Changes nothing. Throws ERR_MLFS_NOT_FOUND, ERR_MLFS_ACCESS. */
export async function isFileLocked(path: string): Promise<boolean> {
  const file = await diskMedium.open(path, 'read');
  try {
    await lockBase(file.fd as number, path, true);
    return false;
  } catch (cause) {
    if (cause instanceof MlfsError && cause.code === 'ERR_MLFS_BUSY') return true;
    throw cause;
  } finally {
    await file.close();
  }
}

/**
 * Locks with an open descriptor; the lock lasts until it and its duplicates are closed. Without the addon, or on a file system without
 * locks, nothing is locked. Returns the holder whose lock does not count, if there is one.
 */
export async function lockBase(fd: number, path: string, shared = false): Promise<Stranger | undefined> {
  const start = Date.now();
  while (tryLock(fd, shared) === false) {
    const waited = Date.now() - start;
    const holders = await lockHolders(fd);
    const trusted = holders.find(({ standing }) => standing === 'trusted');
    // A shared lock belongs to a command that checks whether the file is locked.
    if (trusted !== undefined && (trusted.exclusive || waited > DYING_MS)) {
      throw busy(path, trusted.pid, await mountpointOf(path));
    }
    const stranger = holders.find(({ standing }) => standing === 'stranger');
    if (trusted === undefined && stranger !== undefined && waited > LOOKING_MS) return stranger;
    if (waited > DYING_MS) {
      const heir = await inheritedHolder(fd);
      // A lock that /proc/locks does not show, and no process here has: that of a process outside of this pid namespace. Its user is unknown, so
      // its lock counts.
      if (heir === 'none' && holders.length > 0) return { pid: undefined };
      throw busy(path, typeof heir === 'string' ? undefined : heir.pid, await mountpointOf(path));
    }
    await setTimeout(DYING_POLL_MS);
  }
  return undefined;
}

/** Another user's lock that is gone after this time belonged to a command that only checked. */
const LOOKING_MS = 200;
/** Time for a killed process to close its descriptors before its lock counts as held. */
const DYING_MS = 3000;
const DYING_POLL_MS = 20;

/** Paths of the lock files that this process holds: without the addon nothing else identifies its own locks. */
const held = new Set<string>();

/** Takes the lock file of a state directory and makes it if necessary. Throws ERR_MLFS_BUSY. */
export async function takeLock(
  medium: Medium,
  path: string,
  mountpoint: string | undefined,
): Promise<FileLock> {
  const file = await openLocked(medium, path);
  try {
    const own: Holder = {
      pid: process.pid,
      startTime: (await startTimeOf(process.pid)) ?? '',
      ...(mountpoint === undefined ? {} : { mountpoint }),
    };
    await file.truncate(0);
    await file.write(0, [Buffer.from(`${JSON.stringify(own)}\n`)]);
  } catch (cause) {
    await file.close();
    throw cause;
  }
  held.add(path);
  return {
    release: async () => {
      held.delete(path);
      try {
        await file.truncate(0);
      } finally {
        await file.close();
      }
    },
  };
}

async function openLocked(medium: Medium, path: string): Promise<MediumFile> {
  const deadline = Date.now() + DYING_MS;
  for (;;) {
    const file = await openOrCreate(medium, path);
    try {
      const locked = file.fd === undefined ? undefined : tryLock(file.fd, false);
      const holder = await readHolder(file);
      const alive = holder !== undefined && (await isAlive(holder, path, locked === true));
      // An empty lock file is locked by a command that only checks, or by a process that is about to write its name.
      const dying = locked === false && !alive && Date.now() < deadline;
      if (alive || (locked === false && !dying)) throw busy(path, holder?.pid, holder?.mountpoint);
      // The last holder may have removed the file while it was being opened here.
      if (!dying && (await file.isInPlace?.()) !== false) return file;
      if (dying) await setTimeout(DYING_POLL_MS);
    } catch (cause) {
      await file.close();
      throw cause;
    }
    await file.close();
  }
}

/** Whether a living process has the lock file. Changes nothing. */
export async function isLockTaken(medium: Medium, path: string): Promise<boolean> {
  let file: MediumFile;
  try {
    file = await medium.open(path, 'read');
  } catch (cause) {
    if (cause instanceof MlfsError && cause.code === 'ERR_MLFS_NOT_FOUND') return false;
    throw cause;
  }
  try {
    for (const deadline = Date.now() + DYING_MS; ; await setTimeout(DYING_POLL_MS)) {
      const locked = file.fd === undefined ? undefined : tryLock(file.fd, true);
      const holder = await readHolder(file);
      if (holder !== undefined && (await isAlive(holder, path, locked === true))) return true;
      if (locked !== false || Date.now() > deadline) return locked === false;
    }
  } finally {
    await file.close();
  }
}

async function openOrCreate(medium: Medium, path: string): Promise<MediumFile> {
  for (;;) {
    try {
      return await medium.open(path, 'write');
    } catch (cause) {
      if (!(cause instanceof MlfsError) || cause.code !== 'ERR_MLFS_NOT_FOUND') throw cause;
    }
    try {
      return await medium.open(path, 'create');
    } catch (cause) {
      if (!(cause instanceof MlfsError) || cause.errno !== 'EEXIST') throw cause;
    }
  }
}

/** Undefined when nothing can be locked here. */
function tryLock(fd: number, shared: boolean): boolean | undefined {
  const addon = loadNative();
  if (typeof addon?.tryLock !== 'function') return undefined;
  try {
    return addon.tryLock(fd, shared);
  } catch {
    // ENOLCK, EOPNOTSUPP, or NFS, which needs a descriptor for writing: limits of the file system.
    return undefined;
  }
}

async function readHolder(file: MediumFile): Promise<Holder | undefined> {
  const text = (await file.read(0, await file.size())).toString();
  try {
    const holder = JSON.parse(text) as Partial<Holder> | null;
    if (typeof holder?.pid !== 'number' || typeof holder.startTime !== 'string') return undefined;
    return {
      pid: holder.pid,
      startTime: holder.startTime,
      ...(typeof holder.mountpoint === 'string' ? { mountpoint: holder.mountpoint } : {}),
    };
  } catch {
    // Empty, or half written by a dead process.
    return undefined;
  }
}

async function isAlive({ pid, startTime }: Holder, path: string, locked: boolean): Promise<boolean> {
  if (pid === process.pid) return !locked && held.has(path);
  const now = await startTimeOf(pid);
  return now !== undefined && now === startTime;
}

/** Where a checkpoint is mounted for writing; undefined unless there is exactly one place. */
async function mountpointOf(path: string): Promise<string | undefined> {
  const names = new Set([resolve(path), await realpath(path).catch(() => resolve(path))]);
  const mounts = await promisify(readFile)('/proc/self/mountinfo', 'utf8').catch(() => '');
  const found = parseMountTable(mounts).filter(
    ({ type, source, writable }) => type.startsWith('fuse') && writable && names.has(source),
  );
  return found.length === 1 ? found[0]?.mountpoint : undefined;
}

function busy(path: string, pid: number | undefined, mountpoint: string | undefined): MlfsError {
  const who = pid === undefined ? 'another process' : `process ${pid}`;
  const where = mountpoint === undefined ? '' : `, mounted at ${mountpoint}`;
  return new MlfsError('ERR_MLFS_BUSY', `${path}: is open for writing by ${who}${where}`, {
    path,
    advice:
      mountpoint === undefined
        ? 'End that process, or mount with --read-only.'
        : `Unmount it (mlfs umount ${mountpoint}), or mount with --read-only.`,
  });
}
