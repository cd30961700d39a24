/** A real mount of a small checkpoint in a temporary folder, served by a child, and everything taken away again. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unmountPath } from '../fuse/transport/unmount.ts';
import type { MountOptions } from '../mount/mount-options.ts';
import { type BackgroundMount, mountInBackground } from './background.ts';

export interface Trial {
  readonly checkpoint: string;
  readonly mountpoint: string;
  readonly mounted: BackgroundMount;
}

/** A temporary folder for the time of `use`. */
export async function withTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'mlfs-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Mounts `checkpoint` inside `folder` while `use` runs. */
export async function withMount<T>(
  checkpoint: string,
  folder: string,
  options: MountOptions,
  use: (trial: Trial) => Promise<T>,
): Promise<T> {
  const mountpoint = join(folder, 'mount');
  await mkdir(mountpoint);
  const mounted = await mountInBackground(checkpoint, mountpoint, options, () => undefined);
  try {
    return await use({ checkpoint, mountpoint: mounted.mountpoint, mounted });
  } finally {
    await unmountPath(mounted.mountpoint).catch(() => unmountPath(mounted.mountpoint, true));
  }
}
