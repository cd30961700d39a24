/** A real mount of a small checkpoint in a temporary folder, served by a child and removed afterwards. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MlfsError } from '../errors.ts';
import { unmountPath } from '../fuse/transport/unmount.ts';
import type { MountOptions } from '../mount/mount-options.ts';
import { type BackgroundMount, mountInBackground } from './background.ts';
import { ENDING_SIGNALS } from './ending-signals.ts';

export interface Trial {
  readonly checkpoint: string;
  readonly mountpoint: string;
  readonly mounted: BackgroundMount;
}

/**
 * A temporary folder while `use` runs. A signal aborts `interrupted`; the process ends by that signal when `use` has returned and the
 * folder is removed.
 */
export async function withTemporaryFolder<T>(
  use: (folder: string, interrupted: AbortSignal) => Promise<T>,
): Promise<T> {
  const interrupted = new AbortController();
  const interrupt = (signal: NodeJS.Signals) => interrupted.abort(signal);
  for (const signal of ENDING_SIGNALS) process.on(signal, interrupt);
  const folder = await mkdtemp(join(tmpdir(), 'mlfs-'));
  try {
    return await use(folder, interrupted.signal);
  } finally {
    await rm(folder, { recursive: true, force: true });
    for (const signal of ENDING_SIGNALS) process.off(signal, interrupt);
    if (interrupted.signal.aborted) process.kill(process.pid, interrupted.signal.reason as NodeJS.Signals);
  }
}

/** Mounts `checkpoint` inside `folder` while `use` runs. When `interrupted` is aborted, `use` is not awaited any more. */
export async function withMount<T>(
  checkpoint: string,
  folder: string,
  options: MountOptions,
  interrupted: AbortSignal,
  use: (trial: Trial) => Promise<T>,
): Promise<T> {
  const mountpoint = join(folder, 'mount');
  await mkdir(mountpoint);
  const mounted = await mountInBackground(checkpoint, mountpoint, options, () => undefined);
  try {
    const used = use({ checkpoint, mountpoint: mounted.mountpoint, mounted });
    return await Promise.race([used, rejectionOf(interrupted)]);
  } finally {
    await unmountPath(mounted.mountpoint).catch(() => unmountPath(mounted.mountpoint, true));
  }
}

function rejectionOf(interrupted: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = () => reject(new MlfsError('ERR_MLFS_ERRNO', 'interrupted', { errno: 'EINTR' }));
    if (interrupted.aborted) end();
    else interrupted.addEventListener('abort', end, { once: true });
  });
}
