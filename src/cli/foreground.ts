/**
 * Serves a mount until it ends: by a signal, by an umount, or because the waiting parent is gone. Ctrl-C, SIGTERM and SIGHUP unmount; a
 * mount in use is detached and served until its last user is done. A second signal changes nothing. A signal while mounting takes effect
 * when the mount is made, unless that takes too long: a file system below that does not answer must not keep the process alive.
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

/** On a disk that answers, mounting takes less than a second. */
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
    // Like the signal's default action: process.exit() would wait for calls that never return.
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

/** A mount point that this process already serves must not remain when it ends. */
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
