/**
 * The process behind a mount, found from outside: it has /dev/fuse open, and the number of that connection is the mount's device number.
 * The mount itself is not accessed, because it may not answer.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { MlfsError } from '../errors.ts';
import { parseMountTable } from '../storage/mount-table.ts';

export interface MountServer {
  readonly pid: number;
  /** The kernel's number of its connection. */
  readonly connection: number;
  /** Stopped by SIGSTOP, a terminal or a debugger: it answers nothing until it is continued. */
  readonly stopped: boolean;
}

/** Undefined when the process cannot be found: it has ended, the caller may not inspect it, or the kernel is too old to show the field. */
export async function serverOfMount(mountpoint: string): Promise<MountServer | undefined> {
  const table = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
  const device = table.findLast((entry) => entry.mountpoint === mountpoint)?.device;
  if (device === undefined) return undefined;
  const [major, minor] = device.split(':').map(Number);
  // The kernel's internal encoding.
  const connection = (major as number) * 2 ** 20 + (minor as number);
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (Number.isInteger(pid) && (await hasConnection(pid, connection))) return describe(pid, connection);
  }
  return undefined;
}

/** Throws ERR_MLFS_FUSE when the process that serves a mount is stopped, because a call on the mount would wait for ever. */
export async function refuseStopped(mountpoint: string): Promise<void> {
  const server = await serverOfMount(mountpoint);
  if (server?.stopped) throw stoppedError(mountpoint, server.pid);
}

/** Error for a mount that the stopped process `pid` serves. */
export function stoppedError(mountpoint: string, pid: number): MlfsError {
  return new MlfsError('ERR_MLFS_FUSE', `${mountpoint}: process ${pid}, which serves it, is stopped`, {
    path: mountpoint,
    advice: `kill -CONT ${pid} lets it continue; mlfs umount --lazy ${mountpoint} removes the mount, and acknowledged edits are kept`,
  });
}

/** Whether a process has this connection to the kernel open. */
export async function hasConnection(pid: number, connection: number): Promise<boolean> {
  for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
    if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')) !== '/dev/fuse') continue;
    const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8').catch(() => '');
    if (Number(/^fuse_connection:\s*(\d+)/m.exec(info)?.[1]) === connection) return true;
  }
  return false;
}

async function describe(pid: number, connection: number): Promise<MountServer> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return { pid, connection, stopped: /^State:\s+[Tt]/m.test(status) };
}
