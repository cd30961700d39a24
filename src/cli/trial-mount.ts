/** A real mount of a small checkpoint in a temporary folder, served by a child and removed afterwards. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unmountPath } from '../fuse/transport/unmount.ts';
import type { MountOptions } from '../mount/mount-options.ts';
import { type BackgroundMount, mountInBackground } from './background.ts';
import { endingAfter } from './ending-signals.ts';
import { interruptedBy } from './interrupted-by.ts';

export interface Trial {
  readonly checkpoint: string;
  readonly mountpoint: string;
  readonly mounted: BackgroundMount;
}

/** A temporary folder for the time of `use`: an ending signal aborts `interrupted`, and ends the process when the folder is gone. */
export function withTemporaryFolder<T>(
  use: (folder: string, interrupted: AbortSignal) => Promise<T>,
): Promise<T> {
  return endingAfter(async (interrupted) => {
    const folder = await mkdtemp(join(tmpdir(), 'mlfs-'));
    try {
      return await use(folder, interrupted);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

/** Mounts `checkpoint` inside `folder` while `use` runs; neither is waited for once `interrupted` is aborted, since the mount may not answer. */
export async function withMount<T>(
  checkpoint: string,
  folder: string,
  options: MountOptions,
  interrupted: AbortSignal,
  use: (trial: Trial) => Promise<T>,
): Promise<T> {
  const mountpoint = join(folder, 'mount');
  await mkdir(mountpoint);
  let mounted: BackgroundMount | undefined;
  try {
    mounted = await mountInBackground(checkpoint, mountpoint, options, () => undefined, interrupted);
    const used = use({ checkpoint, mountpoint: mounted.mountpoint, mounted });
    return await interruptedBy(interrupted, used);
  } finally {
    const path = mounted?.mountpoint ?? mountpoint;
    if (interrupted.aborted) await unmountPath(path, true);
    else if (mounted !== undefined) await unmountPath(path).catch(() => unmountPath(path, true));
  }
}
