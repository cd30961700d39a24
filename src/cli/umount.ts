import type { Command } from 'commander';
import { MlfsError } from '../errors.ts';
import type { ServerEnd } from '../targets/server-end.ts';
import { notice } from './notice.ts';
import { exactBytes } from './printable.ts';

/** `mlfs umount DIRECTORY`. */
export function registerUmount(program: Command): void {
  program
    .command('umount')
    .alias('unmount')
    .description('unmount a directory that mlfs mounted')
    .argument('<directory>', 'the mount point')
    .option('-l, --lazy', 'detach now; the server ends when the last open file is closed')
    .addHelpText('after', '\nExample:\n  mlfs umount /mnt/m')
    .action(unmount);
}

async function unmount(directory: string, options: { readonly lazy?: boolean }): Promise<void> {
  const [{ mountedOn, resolveMountpoint }, { unmountPath }, { MLFS_TYPE }] = await Promise.all([
    import('../mount/mountpoint.ts'),
    import('../fuse/transport/unmount.ts'),
    import('../targets/find-mount.ts'),
  ]);
  const path = await resolveMountpoint(directory);
  const mounted = await mountedOn(path);
  if (mounted === undefined) {
    throw new MlfsError('ERR_MLFS_NOT_FOUND', `${directory}: nothing is mounted there`, {
      path: directory,
      advice: 'grep fuse.mlfs /proc/mounts',
    });
  }
  if (mounted.type !== MLFS_TYPE) {
    throw new MlfsError('ERR_MLFS_USAGE', `${directory}: is a mount of type ${mounted.type}, not of mlfs`, {
      path: directory,
      advice: `umount ${directory}`,
    });
  }
  const lazy = options.lazy ?? false;
  const { committed, kept, end } = await beforeUnmount(path, lazy);
  try {
    await unmountPath(path, lazy);
  } catch (cause) {
    if (!(cause instanceof MlfsError)) throw cause;
    if (cause.code !== 'ERR_MLFS_BUSY') {
      const advice = 'only root and the user who mounted it may unmount it';
      throw new MlfsError(cause.code, cause.message, { path: directory, advice, cause });
    }
    throw new MlfsError(
      'ERR_MLFS_BUSY',
      `${directory}: is in use${committed ? '; its edits were committed' : ''}`,
      {
        path: directory,
        advice: `mlfs umount --lazy ${directory} detaches it now, and it ends when nothing uses it any more; fuser -vm ${directory} shows who uses it`,
        cause,
      },
    );
  }
  if (kept !== undefined) notice(kept);
  if (!lazy && !(await end.wait())) {
    notice(`${directory}: is unmounted, but its server still has the checkpoint open`);
  }
}

interface BeforeUnmount {
  /** Edits were written back. */
  readonly committed: boolean;
  /** What to say about the edits when it is unmounted. */
  readonly kept: string | undefined;
  readonly end: ServerEnd;
}

/**
 * Before unmounting, a mount that writes back commits, so that a failure is reported here and the mount stays. Other mounts keep their
 * edits, and a notice afterwards says so; if the state directory is gone, the mount stays, because the edits can still be read from it. A
 * mount that cannot be read is unmounted all the same. So is one that does not answer when `lazy` is set: its edits are in the journal.
 */
async function beforeUnmount(mountpoint: string, lazy: boolean): Promise<BeforeUnmount> {
  const [{ statusOf }, { MountClient }, { ServerEnd }] = await Promise.all([
    import('../targets/find-mount.ts'),
    import('../targets/mount-client.ts'),
    import('../targets/server-end.ts'),
  ]);
  const found = await statusOf(mountpoint).catch((cause: unknown) => {
    // Root may unmount what it may not read.
    const unreadable = cause instanceof MlfsError && cause.code === 'ERR_MLFS_ACCESS';
    if (!lazy && !unreadable) throw cause;
    return undefined;
  });
  const end = await ServerEnd.of(mountpoint, found);
  const { status } = found ?? {};
  if (status === undefined || !(status.dirty_bytes > 0)) return { committed: false, kept: undefined, end };
  if (status.write_back) {
    if (!lazy) await new MountClient(mountpoint).commit({});
    return { committed: !lazy, kept: undefined, end };
  }
  const { path } = status.image;
  const edits = `${exactBytes(status.dirty_bytes)} of edits`;
  const { state_directory: stateDirectory = '', bytes = 0 } = status.journal ?? {};
  const { journalBytesIn } = await import('../targets/uncommitted-edits.ts');
  if ((await journalBytesIn(stateDirectory)) >= bytes) {
    return {
      committed: false,
      kept: `${edits} are kept in ${stateDirectory}; mlfs commit ${path} writes them into the file`,
      end,
    };
  }
  const gone = `${stateDirectory} was removed or moved`;
  if (lazy) {
    return { committed: false, kept: `${edits} are not kept: ${gone}`, end };
  }
  throw new MlfsError('ERR_MLFS_STALE', `${mountpoint}: ${edits} would be lost: ${gone}`, {
    path: mountpoint,
    advice: `put it back; or keep the edits: mlfs commit ${mountpoint} --to NEW.pt; or drop them: mlfs discard ${mountpoint}, or mlfs umount --lazy ${mountpoint}`,
  });
}
