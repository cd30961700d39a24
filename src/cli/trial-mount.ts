/** A real mount of a small checkpoint in a temporary folder, served by a child and removed afterwards. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unmountPath } from '../fuse/transport/unmount.ts';
import type { MountOptions } from '../mount/mount-options.ts';
import { type BackgroundMount, mountInBackground } from './background.ts';
import { ENDING_SIGNALS } from './ending-signals.ts';
import { interruptedBy } from './interrupted-by.ts';

export interface Trial {
  readonly checkpoint: string;
  readonly mountpoint: string;
  readonly mounted: BackgroundMount;
}

/**
 * A temporary folder for the time of `use`. A signal that ends the process aborts `interrupted` and ends it when `use` has returned and the folder is
 * gone. A second one ends it at once.
 */
export async function withTemporaryFolder<T>(
  use: (folder: string, interrupted: AbortSignal) => Promise<T>,
): Promise<T> {
  const interrupted = new AbortController();
  const interrupt = (signal: NodeJS.Signals) => {
    if (interrupted.signal.aborted) endBy(signal);
    else interrupted.abort(signal);
  };
  const endBy = (signal: NodeJS.Signals) => {
    for (const one of ENDING_SIGNALS) process.off(one, interrupt);
    process.kill(process.pid, signal);
  };
  for (const signal of ENDING_SIGNALS) process.on(signal, interrupt);
  const folder = await mkdtemp(join(tmpdir(), 'mlfs-'));
  try {
    return await use(folder, interrupted.signal);
  } finally {
    await rm(folder, { recursive: true, force: true });
    if (interrupted.signal.aborted) endBy(interrupted.signal.reason as NodeJS.Signals);
    for (const signal of ENDING_SIGNALS) process.off(signal, interrupt);
  }
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
