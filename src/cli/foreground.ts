/**
 * Serving a mount until it ends: by a signal, by somebody's umount, or with the parent that waits for it in vain. Ctrl-C, SIGTERM
 * and SIGHUP unmount; while somebody is using the mount it is detached and served until they let go. A second signal
 * changes nothing.
 */

import { MlfsError } from '../errors.ts';
import { type Mounted, type MountOptions, type MountSummary, mount } from '../mount.ts';

export interface ForegroundEvents {
  readonly onMounted: (mountpoint: string, summary: MountSummary) => void;
  readonly notice: (message: string) => void;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Resolves when the mount is gone. `abandoned` unmounts like a signal. */
export async function serveInForeground(
  checkpoint: string,
  directory: string,
  options: MountOptions,
  events: ForegroundEvents,
  abandoned?: AbortSignal,
): Promise<void> {
  let mounted: Mounted | undefined;
  let asked = false;
  const end = () => {
    if (asked) return;
    asked = true;
    // A signal that comes while the mount is being made waits for it: nothing half mounted is left behind.
    if (mounted !== undefined) void endMount(mounted, events.notice);
  };
  for (const signal of SIGNALS) process.on(signal, end);
  abandoned?.addEventListener('abort', end);
  try {
    mounted = await mount(checkpoint, directory, { ...options, onNotice: events.notice });
    if (asked || abandoned?.aborted) await endMount(mounted, events.notice);
    else events.onMounted(mounted.mountpoint, mounted.summary);
    await mounted.closed;
  } finally {
    for (const signal of SIGNALS) process.off(signal, end);
  }
}

async function endMount(mounted: Mounted, notice: (message: string) => void): Promise<void> {
  try {
    await mounted.unmount();
  } catch (cause) {
    const busy = cause instanceof MlfsError && cause.code === 'ERR_MLFS_BUSY';
    const why = cause instanceof Error ? cause.message : String(cause);
    notice(busy ? `${mounted.mountpoint}: in use; detached, ends when its last user lets go` : why);
    await mounted.unmount({ lazy: true }).catch((failure: Error) => notice(failure.message));
  }
}
