/** Finding the mounts of this machine that are ours, from outside: by the mount table, and by what their /sys/status.json says. */
import { readFile, realpath, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { parseMountTable } from '../fuse/transport/mount-table.ts';
import type { StatusDocument } from './status.ts';

export interface FoundMount {
  readonly mountpoint: string;
  readonly status: StatusDocument;
}

/** The mount point of the mount of ours that a path lies in, or is; undefined when it is in none. */
export async function mountAround(path: string): Promise<string | undefined> {
  const absolute = await realpath(path).catch(() => resolve(path));
  let innermost: string | undefined;
  for (const mountpoint of await mlfsMountpoints()) {
    const inside = absolute === mountpoint || absolute.startsWith(mountpoint + sep);
    if (inside && mountpoint.length >= (innermost?.length ?? 0)) innermost = mountpoint;
  }
  return innermost;
}

/**
 * The read-write mount that holds the edits of a checkpoint. Asks the mounts of ours, so a process that serves one names it in
 * `except`.
 */
export async function readWriteMountOf(
  checkpointPath: string,
  except: ReadonlySet<string> = new Set(),
): Promise<FoundMount | undefined> {
  const path = await realpath(checkpointPath).catch(() => resolve(checkpointPath));
  const file = await stat(path, { bigint: true }).catch(() => undefined);
  const mountpoints = (await mlfsMountpoints()).filter((mountpoint) => !except.has(mountpoint));
  const answers = await Promise.all(mountpoints.map(statusOf));
  const mounts = answers.filter((found) => found?.status.mode === 'read-write');
  const sameFile = mounts.find(
    (found) =>
      found?.status.image.inode === String(file?.ino) && found.status.image.device === String(file?.dev),
  );
  return sameFile ?? mounts.find((found) => found?.status.image.path === path);
}

/** What a mount says of itself; undefined for one that does not answer. */
export async function statusOf(mountpoint: string): Promise<FoundMount | undefined> {
  const text = await readFile(join(mountpoint, 'sys', 'status.json'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : { mountpoint, status: JSON.parse(text) as StatusDocument };
}

/** Both transports name their type so. */
const MLFS_TYPE = 'fuse.mlfs';

async function mlfsMountpoints(): Promise<string[]> {
  const table = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
  return table.filter(({ type }) => type === MLFS_TYPE).map(({ mountpoint }) => mountpoint);
}
