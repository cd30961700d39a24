/**
 * What must be true of a directory before it is mounted on. The mount table is read first, because a dead mount answers every call with
 * ENOTCONN and a hanging mount does not answer at all.
 */
import { opendir, readFile, realpath, stat, statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { MlfsError, messageOf } from '../errors.ts';
import { decodeName, hasRawBytes } from '../fuse/protocol/name-bytes.ts';
import { type MountTableEntry, mountTableEntry, parseMountTable } from '../storage/mount-table.ts';
import { leadsToRawBytes, realPathOf } from '../storage/utf8-path.ts';
import { pathUpTo } from '../targets/find-mount.ts';
import { refuseStopped } from '../targets/server-process.ts';

export interface MountpointOptions {
  /** Absolute path of the checkpoint. It must not lie under the mount point: the server would wait for itself. */
  readonly checkpointPath: string;
  /** Mount over a directory that is not empty. */
  readonly nonEmpty: boolean;
  /** Called after a dead mount was detached. */
  readonly onNotice: (message: string) => void;
  readonly detach: (mountpoint: string) => Promise<void>;
}

/** Returns the directory's absolute path without symbolic links. */
export async function prepareMountpoint(mountpoint: string, options: MountpointOptions): Promise<string> {
  const path = await resolveMountpoint(mountpoint);
  const mounted = await mountedOn(path);
  if (mounted?.type.startsWith('fuse')) await refuseOrDetach(path, mounted, options);

  const found = await stat(path).catch((cause) => {
    throw statError(mountpoint, cause);
  });
  if (!found.isDirectory()) {
    throw new MlfsError('ERR_MLFS_USAGE', `${mountpoint}: is not a directory`, { path: mountpoint });
  }
  const checkpoint = await realpath(options.checkpointPath, { encoding: 'buffer' }).then(
    decodeName,
    () => options.checkpointPath,
  );
  if (checkpoint.startsWith(path === sep ? sep : path + sep)) {
    throw new MlfsError('ERR_MLFS_USAGE', `${mountpoint}: holds the checkpoint, which the mount would hide`, {
      path: mountpoint,
      advice: 'mount on a directory of its own',
    });
  }
  if (!options.nonEmpty && !(await isEmpty(path, mountpoint))) {
    throw new MlfsError('ERR_MLFS_USAGE', `${mountpoint}: is not empty`, {
      path: mountpoint,
      advice: 'choose an empty directory, or --nonempty to hide what is in it while the mount lasts',
    });
  }
  return path;
}

/** The topmost mount on exactly this path. */
export async function mountedOn(path: string): Promise<MountTableEntry | undefined> {
  return mountTableEntry(await readFile('/proc/self/mountinfo', 'utf8'), path);
}

const ADVICE = 'Choose a directory whose path is UTF-8 without symbolic links, too.';

/**
 * Works on a dead mount too, which cannot be looked at itself, and on one that does not answer. Throws ERR_MLFS_USAGE for a path that leads to one
 * that is not UTF-8.
 */
export async function resolveMountpoint(mountpoint: string): Promise<string> {
  const table = parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
  const mounted = new Set(
    table.filter(({ type }) => type.startsWith('fuse')).map((entry) => entry.mountpoint),
  );
  const path = await pathUpTo(resolve(mountpoint), mounted);
  if (mounted.has(path)) return path;
  if (hasRawBytes(path)) throw leadsToRawBytes(mountpoint, ADVICE);
  try {
    return await realPathOf(path, ADVICE);
  } catch (refusal) {
    if (refusal instanceof MlfsError) throw refusal;
    const parent = await realPathOf(dirname(path), ADVICE).catch((cause) => {
      throw cause instanceof MlfsError ? cause : statError(mountpoint, cause);
    });
    return join(parent, basename(path));
  }
}

async function refuseOrDetach(
  path: string,
  mounted: MountTableEntry,
  options: MountpointOptions,
): Promise<void> {
  await refuseStopped(path);
  // stat may be answered from the kernel's cache; statfs always asks the server.
  const dead = await statfs(path).then(
    () => false,
    (cause: NodeJS.ErrnoException) => cause.code === 'ENOTCONN' || cause.code === 'ECONNABORTED',
  );
  if (!dead) {
    throw new MlfsError('ERR_MLFS_BUSY', `${path}: ${mounted.source} is mounted there already`, {
      path,
      advice: `mlfs umount ${path}`,
    });
  }
  await options.detach(path);
  options.onNotice(`${path}: detached a dead mount of ${mounted.source}`);
}

async function isEmpty(path: string, named: string): Promise<boolean> {
  const directory = await opendir(path).catch((cause) => {
    throw statError(named, cause);
  });
  try {
    return (await directory.read()) === null;
  } finally {
    await directory.close();
  }
}

function statError(mountpoint: string, cause: unknown): MlfsError {
  const code = (cause as NodeJS.ErrnoException).code;
  const details = { path: mountpoint, cause };
  if (code === 'ENOENT') {
    return new MlfsError('ERR_MLFS_NOT_FOUND', `${mountpoint}: no such directory`, {
      ...details,
      advice: `mkdir -p ${mountpoint}`,
    });
  }
  if (code === 'ENOTDIR') {
    return new MlfsError('ERR_MLFS_USAGE', `${mountpoint}: is not a directory`, details);
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new MlfsError('ERR_MLFS_ACCESS', `${mountpoint}: permission denied`, details);
  }
  const why = messageOf(cause);
  return new MlfsError('ERR_MLFS_IO', `${mountpoint}: ${why}`, details);
}
