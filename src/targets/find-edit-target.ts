/**
 * Finds the edits for `mlfs commit`, `discard`, `status` and `flush`. A mount is asked through its /sys/control. A checkpoint that is not
 * mounted read-write is opened here. When a checkpoint is mounted read-write, its mount holds the lock, so that mount is found and asked.
 */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { MlfsError } from '../errors.ts';
import type { EditTarget } from './edit-target.ts';
import { mountAround, notAMount, readWriteMountOf } from './find-mount.ts';
import { MountClient } from './mount-client.ts';
import { UnmountedCheckpoint } from './unmounted-checkpoint.ts';

export interface TargetOptions {
  /** `--state DIR`, where the edits of a checkpoint are not at their usual place. */
  readonly stateDirectory?: string | undefined;
  /** Called when the mount of a checkpoint is asked instead. */
  readonly onNotice?: ((message: string) => void) | undefined;
  /** Mounts that this process serves itself. */
  readonly ownMounts?: ReadonlySet<string>;
}

/** `target`: a mount point, any path in a mount, or a checkpoint. */
export async function findEditTarget(target: string, options: TargetOptions = {}): Promise<EditTarget> {
  const around = await mountAround(target);
  if (around !== undefined && options.ownMounts?.has(around)) {
    throw new MlfsError('ERR_MLFS_USAGE', `${target}: is served by this very process`, {
      path: target,
      advice: 'use what mount() returned: mounted.commit()',
    });
  }
  if (around !== undefined) return new MountClient(around);
  const path = resolve(target);
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) throw notAMount(target, 'a mount point or a checkpoint file');
  const unmounted = new UnmountedCheckpoint(path, options);
  if (!(await unmounted.isLocked())) return unmounted;
  const mount = await readWriteMountOf(path, options.ownMounts);
  // A lock is held but no mount was found: the lock's own message is the best there is.
  if (mount === undefined) return unmounted;
  options.onNotice?.(`${target} is mounted at ${mount.mountpoint}; the mount carries it out`);
  return new MountClient(mount.mountpoint);
}
