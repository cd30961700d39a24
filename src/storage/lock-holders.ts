/**
 * Finds who holds an flock(2) on a file, from /proc. Whoever can read a file can lock it, so a lock counts only when the caller, root or
 * the file's owner holds it. The real user counts as well as the effective one, because a lock survives the execution of a set-user-id
 * program.
 */
import { type BigIntStats, fstat, readdir, readFile } from 'node:fs';
import { promisify } from 'node:util';

const read = promisify(readFile);
const list = promisify(readdir);
const statOf = promisify(fstat) as (fd: number, options: { bigint: true }) => Promise<BigIntStats>;

export interface LockHolder {
  readonly pid: number;
  readonly exclusive: boolean;
  /** `gone`: that process has ended or does not have the lock; a child that it started may have it. */
  readonly standing: 'trusted' | 'stranger' | 'gone';
}

/**
 * The processes that /proc/locks names: those of this pid namespace and those below it. The lock of a process that has ended is listed in the
 * first pid namespace only: inside a container its heir is found by `inheritedHolder` alone.
 */
export async function lockHolders(fd: number): Promise<LockHolder[]> {
  const file = await statOf(fd, { bigint: true });
  const found = locksOf(await read('/proc/locks', 'utf8').catch(() => ''), file);
  return Promise.all(
    found.map(async ({ pid, exclusive }) => ({ pid, exclusive, standing: await standingOf(pid, file) })),
  );
}

/** Maximum number of descriptors that are checked in search of an heir, some seconds' work. One process may have a million. */
const MOST_DESCRIPTORS = 50_000;

/**
 * Finds the process that holds a lock whose first holder has ended: a child of it. Only processes whose lock counts are searched, so that
 * processes of other users cost one look at their owner each, however many files they have open. `undecided`: there were too many
 * descriptors to check.
 */
export async function inheritedHolder(
  fd: number,
  mostDescriptors: number = MOST_DESCRIPTORS,
): Promise<{ readonly pid: number } | 'none' | 'undecided'> {
  const file = await statOf(fd, { bigint: true });
  let left = mostDescriptors;
  for (const name of await list('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || !isTrusted(await usersOf(pid), file)) continue;
    const descriptors = await descriptorsOf(pid);
    // The caller may not inspect it: a process of root, or one that is not dumpable.
    if (descriptors === undefined) continue;
    if (await hasLock(pid, file, descriptors.slice(0, left))) return { pid };
    left -= descriptors.length;
    if (left < 0) return 'undecided';
  }
  return 'none';
}

/**
 * Field 22 of /proc/PID/stat; the name before it may contain spaces and brackets. Undefined when there is no such process or only a zombie.
 */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  const text = await read(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

async function standingOf(pid: number, file: BigIntStats): Promise<LockHolder['standing']> {
  const users = await usersOf(pid);
  // A process that /proc hides (hidepid) may be root's, and so counts.
  if (users === undefined) return exists(pid) ? 'trusted' : 'gone';
  if ((await startTimeOf(pid)) === undefined) return 'gone';
  if (!isTrusted(users, file)) return 'stranger';
  const descriptors = await descriptorsOf(pid);
  // Process ids are reused. Where a process cannot be inspected, /proc/locks is believed.
  return descriptors === undefined || (await hasLock(pid, file, descriptors)) ? 'trusted' : 'gone';
}

/** The caller, root and the file's owner. */
function isTrusted(users: readonly bigint[] | undefined, file: BigIntStats): boolean {
  const trusted = [BigInt(process.geteuid?.() ?? 0), 0n, file.uid];
  return users?.every((user) => trusted.includes(user)) ?? false;
}

/** Whether the process exists, even if /proc hides it. */
function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Real and effective user of a process. */
async function usersOf(pid: number): Promise<readonly bigint[] | undefined> {
  const status = await read(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const [, real, effective] = /^Uid:\s+(\d+)\s+(\d+)/m.exec(status) ?? [];
  return real === undefined || effective === undefined ? undefined : [BigInt(real), BigInt(effective)];
}

/** Names of its open descriptors; undefined when the caller may not list them. */
function descriptorsOf(pid: number): Promise<string[] | undefined> {
  return list(`/proc/${pid}/fdinfo`).catch(() => undefined);
}

/** Whether one of these descriptors of the process has the lock. */
async function hasLock(pid: number, file: BigIntStats, descriptors: readonly string[]): Promise<boolean> {
  for (const name of descriptors) {
    const text = await read(`/proc/${pid}/fdinfo/${name}`, 'utf8').catch(() => '');
    if (text.includes('FLOCK') && locksOf(text, file).length > 0) return true;
  }
  return false;
}

/** `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`: the pid, the device in hexadecimal, the inode. */
function locksOf(text: string, { ino, dev }: BigIntStats): { pid: number; exclusive: boolean }[] {
  const ofInode = text
    .split('\n')
    .map((line) => /: FLOCK +ADVISORY +(READ|WRITE) +(\d+) +([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line))
    .filter((match) => match !== null && BigInt(match[5] as string) === ino) as RegExpExecArray[];
  // Some file systems show another device there than in stat(2).
  const exact = ofInode.filter((match) => deviceOf(match) === dev);
  return (exact.length > 0 ? exact : ofInode).map((match) => ({
    pid: Number(match[2]),
    exclusive: match[1] === 'WRITE',
  }));
}

/** The kernel's encoding of major and minor in st_dev. */
function deviceOf(match: RegExpExecArray): bigint {
  const major = BigInt(`0x${match[3]}`);
  const minor = BigInt(`0x${match[4]}`);
  return (minor & 0xffn) | ((major & 0xfffn) << 8n) | ((minor & ~0xffn) << 12n) | ((major & ~0xfffn) << 32n);
}
