/**
 * The server's own rules of who may do what. With `allow_other` the kernel checks mode bits, owners and sticky folders before it asks
 * (default_permissions: transport/transport.ts), because only the kernel sees every step of a path. Without it the kernel lets in only the
 * user who mounted. These rules hold in both cases: they are the second lock, and the only one where the server does more than the kernel can
 * know, such as a CREATE that finds an existing file.
 */
import { readFileSync } from 'node:fs';
import type { ErrnoName } from '../errors.ts';
import type { Attr, AttrChange, RequestContext } from './filesystem.ts';
import { O_ACCMODE, O_RDONLY, O_TRUNC, O_WRONLY } from './open-policy.ts';

/** access(2)'s mask bits. */
export const X_OK = 1;
export const W_OK = 2;
export const R_OK = 4;

const STICKY = 0o1000;

/** access(2)'s mask for open(2)'s flags: truncating a file needs the right to write, also if the caller then only reads. */
export function accessOf(flags: number): number {
  const mode = flags & O_ACCMODE;
  const writes = mode !== O_RDONLY || (flags & O_TRUNC) !== 0;
  return (mode === O_WRONLY ? 0 : R_OK) | (writes ? W_OK : 0);
}

/** The caller. */
export type Caller = Pick<RequestContext, 'uid' | 'gid' | 'pid'>;

/** Whether mode bits grant `mask` to the caller. */
export function permits(attr: Attr, mask: number, caller: Caller): boolean {
  if (caller.uid === 0) {
    const executable = attr.kind === 'directory' || (attr.mode & 0o111) !== 0;
    return (mask & X_OK) === 0 || executable;
  }
  const grants = (bits: number) => (mask & ~bits & 0o7) === 0;
  if (caller.uid === attr.uid) return grants(attr.mode >> 6);
  const [asMember, asOther] = [grants(attr.mode >> 3), grants(attr.mode)];
  if (asMember === asOther) return asOther;
  return isMember(caller, attr.gid) ? asMember : asOther;
}

/**
 * Why the caller may not change attributes; undefined if it may. Only root gives files away. The owner changes the mode, the times, and the
 * group to one of the owner's groups. A caller with the right to write may set the times to now.
 */
export function refusalOfChange(attr: Attr, change: AttrChange, caller: Caller): ErrnoName | undefined {
  if (caller.uid === 0) return undefined;
  const { mode, uid, gid, atime, mtime } = change;
  const owns = caller.uid === attr.uid;
  if (uid !== undefined && (!owns || uid !== attr.uid)) return 'EPERM';
  if (gid !== undefined && (!owns || (gid !== attr.gid && !isMember(caller, gid)))) return 'EPERM';
  if (mode !== undefined && !owns) return 'EPERM';
  if (owns || (atime === undefined && mtime === undefined)) return undefined;
  if (atime !== 'now' || mtime !== 'now') return 'EPERM';
  return permits(attr, W_OK, caller) ? undefined : 'EACCES';
}

/** Whether the caller may remove or move a name from a folder that it can write to. In a sticky folder the caller must own the file or the folder. */
export function mayRemove(folder: Attr, named: Attr, caller: Caller): boolean {
  if ((folder.mode & STICKY) === 0 || caller.uid === 0) return true;
  return caller.uid === named.uid || caller.uid === folder.uid;
}

function isMember(caller: Caller, gid: number): boolean {
  return caller.gid === gid || supplementaryGroups(caller.pid).includes(gid);
}

/**
 * The supplementary groups of a thread that waits for an answer; the request does not contain them. Empty if they cannot be read: the thread
 * has ended, or is in another PID namespace. The read is synchronous, because /proc waits for no disk, and is made only when a group makes a
 * difference.
 */
function supplementaryGroups(pid: number): readonly number[] {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return [];
  }
  const groups = /^Groups:[ \t]*(.*)$/m.exec(status)?.[1]?.trim() ?? '';
  return groups === '' ? [] : groups.split(/\s+/).map(Number);
}
