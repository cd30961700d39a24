/** Finds MLFS mounts on this machine from outside: by the mount table, and by their /sys/status.json. */
import { readFile, readlink, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { MlfsError } from '../errors.ts';
import { decodeName, encodeName } from '../fuse/protocol/name-bytes.ts';
import { parseMountTable } from '../storage/mount-table.ts';
import { realPathOf } from '../storage/utf8-path.ts';
import { readFromMount } from './read-from-mount.ts';
import type { StatusDocument } from './status-document.ts';

export interface FoundMount {
  readonly mountpoint: string;
  readonly status: StatusDocument;
}

/**
 * The mount point of the MLFS mount that contains a path; undefined when there is none. The mount itself is not accessed: its server may be
 * stopped.
 */
export async function mountAround(path: string): Promise<string | undefined> {
  const mountpoints = await mlfsMountpoints();
  const absolute = await pathUpTo(resolve(path), new Set(mountpoints));
  let innermost: string | undefined;
  for (const mountpoint of mountpoints) {
    const inside = absolute === mountpoint || absolute.startsWith(mountpoint + sep);
    if (inside && mountpoint.length >= (innermost?.length ?? 0)) innermost = mountpoint;
  }
  return innermost;
}

/**
 * The path without the symbolic links on the way to the first of `mountpoints`; what comes after that is left as it is. Bytes of links that are not
 * UTF-8 are in it as name-bytes.ts writes them.
 */
export async function pathUpTo(path: string, mountpoints: ReadonlySet<string>): Promise<string> {
  let links = 0;
  let done = '/';
  let rest = path.split(sep).filter((part) => part !== '');
  for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
    const next = join(done, part);
    if (mountpoints.has(next)) return join(next, ...rest);
    const target = links < MOST_LINKS ? await linkTarget(next) : undefined;
    if (target === undefined) {
      done = next;
      continue;
    }
    links++;
    rest = [...resolve(done, target).split(sep), ...rest].filter((one) => one !== '');
    done = '/';
  }
  return done;
}

/** As many links as the kernel follows. */
const MOST_LINKS = 40;

async function linkTarget(path: string): Promise<string | undefined> {
  const target = await readlink(encodeName(path), { encoding: 'buffer' }).catch(() => undefined);
  return target === undefined ? undefined : decodeName(target);
}

/**
 * The read-write mount that holds the edits of a checkpoint. It asks the MLFS mounts, so a process that serves one names it in `except`.
 * Mounts of users other than the caller, root and the file's owner are not asked: they could answer anything, or never.
 */
export async function readWriteMountOf(
  checkpointPath: string,
  except: ReadonlySet<string> = new Set(),
): Promise<FoundMount | undefined> {
  const path = await realPathOf(checkpointPath).catch(() => resolve(checkpointPath));
  const file = await stat(path, { bigint: true }).catch(() => undefined);
  const trusted = [process.geteuid?.() ?? 0, 0, ...(file === undefined ? [] : [Number(file.uid)])];
  const mountpoints = (await mlfsMountpoints(trusted)).filter((mountpoint) => !except.has(mountpoint));
  const answers = await Promise.all(
    // A mount that does not answer may serve any checkpoint: only the lock's own message is left.
    mountpoints.map((mountpoint) => statusOf(mountpoint).catch(() => undefined)),
  );
  const mounts = answers.filter((found) => found?.status.mode === 'read-write');
  const sameFile = mounts.find(
    (found) =>
      found?.status.image.inode === String(file?.ino) && found.status.image.device === String(file?.dev),
  );
  return sameFile ?? mounts.find((found) => found?.status.image.path === path);
}

/** The error of a command whose path is in no MLFS mount. `wanted`: what the command takes. */
export function notAMount(path: string, wanted = 'a mount point'): MlfsError {
  return new MlfsError('ERR_MLFS_NOT_FOUND', `${path}: is not a mount of mlfs`, {
    path,
    advice: `name ${wanted}; grep fuse.mlfs /proc/mounts lists the mounts`,
  });
}

/**
 * The status document of a mount; undefined when it cannot be read. Throws ERR_MLFS_FUSE when the mount does not answer, ERR_MLFS_ACCESS
 * when it is another user's.
 */
export async function statusOf(mountpoint: string): Promise<FoundMount | undefined> {
  const text = await readFromMount(mountpoint, join(mountpoint, 'sys', 'status.json'));
  return text === undefined ? undefined : { mountpoint, status: JSON.parse(text) as StatusDocument };
}

/** The file system type that both transports use. */
export const MLFS_TYPE = 'fuse.mlfs';

/** All MLFS mounts, or those of some users. */
async function mlfsMountpoints(users?: readonly number[]): Promise<string[]> {
  const table = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
  return table
    .filter(({ type, userId }) => type === MLFS_TYPE && (users?.includes(userId ?? Number.NaN) ?? true))
    .map(({ mountpoint }) => mountpoint);
}
