import type { Command } from 'commander';
import { MlfsError } from '../errors.ts';

/** `mlfs umount DIRECTORY`. */
export function registerUmount(program: Command): void {
  program
    .command('umount')
    .alias('unmount')
    .description('unmount what mlfs mounted')
    .argument('<directory>', 'the mount point')
    .option('-l, --lazy', 'detach now, end when its last user lets go')
    .addHelpText('after', '\nExample:\n  mlfs umount /mnt/m')
    .action(unmount);
}

async function unmount(directory: string, options: { readonly lazy?: boolean }): Promise<void> {
  const [{ mountedOn, resolveMountpoint }, { unmountPath }] = await Promise.all([
    import('../mount/mountpoint.ts'),
    import('../fuse/transport/unmount.ts'),
  ]);
  const path = await resolveMountpoint(directory);
  const mounted = await mountedOn(path);
  if (mounted === undefined) {
    throw new MlfsError('ERR_MLFS_NOT_FOUND', `${directory}: nothing is mounted there`, {
      path: directory,
      advice: 'grep mlfs /proc/mounts',
    });
  }
  if (!mounted.type.startsWith('fuse')) {
    throw new MlfsError('ERR_MLFS_USAGE', `${directory}: is a mount of type ${mounted.type}, not of mlfs`, {
      path: directory,
    });
  }
  try {
    await unmountPath(path, options.lazy ?? false);
  } catch (cause) {
    if (!(cause instanceof MlfsError)) throw cause;
    if (cause.code !== 'ERR_MLFS_BUSY') {
      const advice = 'only root and who mounted it may unmount it';
      throw new MlfsError(cause.code, cause.message, { path: directory, advice, cause });
    }
    throw new MlfsError('ERR_MLFS_BUSY', `${directory}: somebody is using it`, {
      path: directory,
      advice: `mlfs umount --lazy ${directory}, or fuser -vm ${directory} to see who`,
      cause,
    });
  }
}
