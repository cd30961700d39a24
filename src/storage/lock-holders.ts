/**
 * Who holds an flock(2) on a file, from /proc. Whoever can read a file can lock it, so a lock says little: it counts when the caller, root
 * or the file's owner has it. The real user counts as well as the effective one: a lock outlives the execution of a set-user-id program.
 */
import { type BigIntStats, fstat, readdir, readFile } from 'node:fs';
import { promisify } from 'node:util';

const read = promisify(readFile);
const list = promisify(readdir);
const statOf = promisify(fstat) as (fd: number, options: { bigint: true }) => Promise<BigIntStats>;

export interface LockHolder {
  readonly pid: number;
  readonly exclusive: boolean;
  /** `gone`: that process has ended, or does not have the lock; another that it started may have it. */
  readonly standing: 'trusted' | 'stranger' | 'gone';
}

/** Those that /proc/locks names: processes of this pid namespace and those below it. */
export async function lockHolders(fd: number): Promise<LockHolder[]> {
  const file = await statOf(fd, { bigint: true });
  const found = locksOf(await read('/proc/locks', 'utf8').catch(() => ''), file);
  return Promise.all(
    found.map(async ({ pid, exclusive }) => ({ pid, exclusive, standing: await standingOf(pid, file) })),
  );
}

/**
 * A process that the caller may look into and that has the lock, though another took it: its child. Looks at all processes, for the case that
 * the one that /proc/locks names has ended.
 */
export async function inheritedHolder(fd: number): Promise<LockHolder | undefined> {
  const file = await statOf(fd, { bigint: true });
  for (const name of await list('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || (await hasLock(pid, file)) !== true) continue;
    return { pid, exclusive: true, standing: await standingOf(pid, file) };
  }
  return undefined;
}

/**
 * Field 22 of /proc/PID/stat; the name before it may hold spaces and brackets. Undefined when there is no such process, or only what is
 * left of one until its parent asks: a zombie.
 */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  const text = await read(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

async function standingOf(pid: number, file: BigIntStats): Promise<LockHolder['standing']> {
  const users = await usersOf(pid);
  if (users === undefined || (await startTimeOf(pid)) === undefined) return 'gone';
  const trusted = [BigInt(process.geteuid?.() ?? 0), 0n, file.uid];
  if (!users.every((user) => trusted.includes(user))) return 'stranger';
  // Numbers of processes are used again.
  return (await hasLock(pid, file)) === false ? 'gone' : 'trusted';
}

/** Real and effective user of a process. */
async function usersOf(pid: number): Promise<readonly bigint[] | undefined> {
  const status = await read(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const [, real, effective] = /^Uid:\s+(\d+)\s+(\d+)/m.exec(status) ?? [];
  return real === undefined || effective === undefined ? undefined : [BigInt(real), BigInt(effective)];
}

/** Whether a descriptor of the process has the lock; undefined when the caller may not look. */
async function hasLock(pid: number, file: BigIntStats): Promise<boolean | undefined> {
  const folder = `/proc/${pid}/fdinfo`;
  const names = await list(folder).catch(() => undefined);
  if (names === undefined) return undefined;
  for (const name of names) {
    const text = await read(`${folder}/${name}`, 'utf8').catch(() => '');
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
  // Some file systems show another device there than to stat(2).
  const exact = ofInode.filter((match) => deviceOf(match) === dev);
  return (exact.length > 0 ? exact : ofInode).map((match) => ({
    pid: Number(match[2]),
    exclusive: match[1] === 'WRITE',
  }));
}

/** As the kernel puts major and minor into st_dev. */
function deviceOf(match: RegExpExecArray): bigint {
  const major = BigInt(`0x${match[3]}`);
  const minor = BigInt(`0x${match[4]}`);
  return (minor & 0xffn) | ((major & 0xfffn) << 8n) | ((minor & ~0xffn) << 12n) | ((major & ~0xfffn) << 32n);
}
