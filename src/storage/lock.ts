/**
 * Who may write: one process a checkpoint. Two locks hold that. An flock(2) on the checkpoint file itself, from the mount to its end, needs
 * nothing to be made; the `lock` file of a state directory says in words who has it, and holds where the addon was not built.
 * Both end with the process.
 */
import { fstat, readFile, stat } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { MlfsError } from '../errors.ts';
import { diskMedium } from './disk-medium.ts';
import type { Medium, MediumFile } from './medium.ts';
import { loadNative } from './native.ts';

export interface FileLock {
  release(): Promise<void>;
}

/** What a lock file says of who has it. */
export interface Holder {
  readonly pid: number;
  /** Start time in clock ticks since the machine's own: a pid alone may be somebody else's by now. */
  readonly startTime: string;
  readonly mountpoint?: string;
}

/** Locks a checkpoint until it is released. Throws ERR_MLFS_BUSY that names the other's pid, ERR_MLFS_NOT_FOUND, ERR_MLFS_ACCESS. */
export async function lockFile(path: string): Promise<FileLock> {
  const file = await diskMedium.open(path, 'read');
  try {
    if (file.fd !== undefined) await lockBase(file.fd, path);
  } catch (cause) {
    await file.close();
    throw cause;
  }
  return { release: () => file.close() };
}

/**
 * The same with a descriptor that is open already; the lock lasts until it and its duplicates are closed. Where there is no addon, or a file
 * system that cannot lock, nothing is locked.
 */
export async function lockBase(fd: number, path: string): Promise<void> {
  const deadline = Date.now() + DYING_MS;
  while (tryLock(fd) === false) {
    const pid = await holderOf(fd);
    if (Date.now() > deadline || (pid !== undefined && (await startTimeOf(pid)) !== undefined)) {
      throw busy(path, pid, await mountpointOf(path));
    }
    await setTimeout(DYING_POLL_MS);
  }
}

/** How long a process that was killed may take to let go of its descriptors before its lock counts as held. */
const DYING_MS = 3000;
const DYING_POLL_MS = 20;

/** Paths of the lock files that this process has: without the addon nothing else tells its own locks apart. */
const held = new Set<string>();

/** Takes the lock file of a state directory, which is made if need be. Throws ERR_MLFS_BUSY. */
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
      const locked = file.fd === undefined ? undefined : tryLock(file.fd);
      const holder = await readHolder(file);
      const alive = holder !== undefined && (await isAlive(holder, path, locked === true));
      const dying = locked === false && holder !== undefined && !alive && Date.now() < deadline;
      if (alive || (locked === false && !dying)) throw busy(path, holder?.pid, holder?.mountpoint);
      // The one who had it may have removed the file while this one was being opened.
      if (!dying && (await isStillThere(file, path))) return file;
      if (dying) await setTimeout(DYING_POLL_MS);
    } catch (cause) {
      await file.close();
      throw cause;
    }
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
function tryLock(fd: number): boolean | undefined {
  const addon = loadNative();
  if (typeof addon?.tryLock !== 'function') return undefined;
  try {
    return addon.tryLock(fd);
  } catch {
    // ENOLCK, EOPNOTSUPP, or NFS, which wants a descriptor for writing: the file system's own limit.
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
    // Empty, or half written by somebody who is gone.
    return undefined;
  }
}

async function isAlive({ pid, startTime }: Holder, path: string, locked: boolean): Promise<boolean> {
  if (pid === process.pid) return !locked && held.has(path);
  const now = await startTimeOf(pid);
  return now !== undefined && now === startTime;
}

async function isStillThere(file: MediumFile, path: string): Promise<boolean> {
  if (file.fd === undefined) return true;
  const opened = await promisify(fstat)(file.fd);
  const named = await promisify(stat)(path).catch(() => undefined);
  return named !== undefined && named.ino === opened.ino && named.dev === opened.dev;
}

/**
 * Field 22 of /proc/PID/stat; the name before it may hold spaces and brackets. Undefined when there is no such process, or only what is
 * left of one until its parent asks: a zombie.
 */
async function startTimeOf(pid: number): Promise<string | undefined> {
  const text = await promisify(readFile)(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

/** The pid that /proc/locks has for a file: `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`, the device in hexadecimal. */
async function holderOf(fd: number): Promise<number | undefined> {
  const { ino, dev } = await promisify(fstat)(fd, { bigint: true });
  const locks = await promisify(readFile)('/proc/locks', 'utf8').catch(() => '');
  const ofInode = locks
    .split('\n')
    .map((line) => /: FLOCK +ADVISORY +WRITE +(\d+) +([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line))
    .filter((match) => match !== null && BigInt(match[4] as string) === ino);
  // Some file systems show another device there than to stat(2).
  const match = ofInode.find((found) => found !== null && deviceOf(found) === dev) ?? ofInode[0];
  const pid = Number(match?.[1] ?? 0);
  return pid > 0 ? pid : undefined;
}

/** As the kernel puts major and minor into st_dev. */
function deviceOf(match: RegExpExecArray): bigint {
  const major = BigInt(`0x${match[2]}`);
  const minor = BigInt(`0x${match[3]}`);
  return (minor & 0xffn) | ((major & 0xfffn) << 8n) | ((minor & ~0xffn) << 12n) | ((major & ~0xfffn) << 32n);
}

/** Where a checkpoint is mounted for writing; undefined when that is not one place. */
async function mountpointOf(path: string): Promise<string | undefined> {
  const names = new Set([resolve(path), await realpath(path).catch(() => resolve(path))]);
  const mounts = await promisify(readFile)('/proc/self/mountinfo', 'utf8').catch(() => '');
  const found = mounts.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [type = '', source = ''] = after.split(' ');
    const fields = before.split(' ');
    const writable = fields[5]?.split(',').includes('rw') ?? false;
    return type.startsWith('fuse') && writable && names.has(unescaped(source))
      ? [unescaped(fields[4] ?? '')]
      : [];
  });
  return found.length === 1 ? found[0] : undefined;
}

/** Spaces and the like are octal in mountinfo. */
function unescaped(text: string): string {
  const bytes = Buffer.from(text).toString('latin1');
  const plain = bytes.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
  return Buffer.from(plain, 'latin1').toString();
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
