/**
 * Serving a mount until it ends: by a signal, by somebody's umount, or with the parent that waits for it in vain. Ctrl-C, SIGTERM
 * and SIGHUP unmount; while somebody is using the mount it is detached and served until they let go. A second signal
 * changes nothing. A mount that is being made is finished first and unmounted then, unless it takes too long: a file system below that does
 * not answer must not keep the process alive.
 */

import { MlfsError, messageOf } from '../errors.ts';
import { unmountPath } from '../fuse/transport/unmount.ts';
import { mount } from '../mount/mount.ts';
import type { MountOptions } from '../mount/mount-options.ts';
import type { Mounted, MountSummary } from '../mount/mounted.ts';
import { resolveMountpoint } from '../mount/mountpoint.ts';
import { serverOfMount } from '../targets/server-process.ts';
import { ENDING_SIGNALS } from './ending-signals.ts';

export interface ForegroundEvents {
  readonly onMounted: (mountpoint: string, summary: MountSummary) => void;
  readonly notice: (message: string) => void;
}

/** A mount is made in less than a second from a disk that answers. */
const MAKING_MS = 3000;

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
  let givingUp: NodeJS.Timeout | undefined;
  const end = (signal: NodeJS.Signals = 'SIGTERM') => {
    if (asked) return;
    asked = true;
    if (mounted !== undefined) void endMount(mounted, events.notice);
    else givingUp = setTimeout(() => void die(signal), MAKING_MS);
  };
  const dieBy = (signal: NodeJS.Signals) => end(signal);
  const endAbandoned = () => end();
  const die = async (signal: NodeJS.Signals) => {
    await detachOwn(directory).catch((cause: Error) => events.notice(cause.message));
    // As the signal does by itself: process.exit() would wait for calls that do not come back.
    for (const each of ENDING_SIGNALS) process.off(each, dieBy);
    process.kill(process.pid, signal);
  };
  for (const signal of ENDING_SIGNALS) process.on(signal, dieBy);
  abandoned?.addEventListener('abort', endAbandoned);
  try {
    mounted = await mount(checkpoint, directory, { ...options, onNotice: events.notice });
    clearTimeout(givingUp);
    if (asked || abandoned?.aborted) await endMount(mounted, events.notice);
    else events.onMounted(mounted.mountpoint, mounted.summary);
    await mounted.closed;
  } finally {
    clearTimeout(givingUp);
    for (const signal of ENDING_SIGNALS) process.off(signal, dieBy);
    abandoned?.removeEventListener('abort', endAbandoned);
  }
}

/** A mount point that this process serves already must not stay when it ends. */
async function detachOwn(directory: string): Promise<void> {
  const path = await resolveMountpoint(directory);
  if ((await serverOfMount(path))?.pid === process.pid) await unmountPath(path, true);
}

async function endMount(mounted: Mounted, notice: (message: string) => void): Promise<void> {
  try {
    await mounted.unmount();
  } catch (cause) {
    const busy = cause instanceof MlfsError && cause.code === 'ERR_MLFS_BUSY';
    const why = messageOf(cause);
    notice(
      busy
        ? `${mounted.mountpoint}: is in use; it is detached now and ends when nothing uses it any more`
        : why,
    );
    await mounted.unmount({ lazy: true }).catch((failure: Error) => notice(failure.message));
  }
}
