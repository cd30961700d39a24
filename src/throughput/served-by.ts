import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Who answers the reads of a mount: the kernel by itself, MLFS's data plane in native code, or the package fuse-native. */
export type Server = 'kernel view' | 'data plane' | 'fuse-native';

export interface ServedBy {
  readonly server: Server;
  /** Why a read-only mount has no kernel view. */
  readonly noKernelView?: string;
}

/** What is used here of /sys/status.json. */
interface MountStatus {
  readonly transport: string;
  readonly mode: string;
  readonly kernel_view?: { readonly state: string; readonly reason: string | null };
}

const DECISION_DEADLINE_MS = 10_000;
const ASK_EVERY_MS = 20;
const STILL_PREPARED = `it is still being prepared after ${DECISION_DEADLINE_MS / 1000} s`;

/** Asks the mount. A kernel view is prepared beside the mount, so this waits a while until it is in use or off. */
export async function servedBy(mountpoint: string): Promise<ServedBy> {
  const deadline = Date.now() + DECISION_DEADLINE_MS;
  for (;;) {
    const text = await readFile(path.join(mountpoint, 'sys', 'status.json'), 'utf8');
    const status = JSON.parse(text) as MountStatus;
    if (status.kernel_view?.state !== 'preparing' || Date.now() > deadline) return serverIn(status);
    await sleep(ASK_EVERY_MS);
  }
}

function serverIn({ transport, mode, kernel_view: view }: MountStatus): ServedBy {
  if (transport === 'fuse-native') return { server: 'fuse-native' };
  if (view?.state === 'in use') return { server: 'kernel view' };
  if (mode !== 'read-only' || view === undefined) return { server: 'data plane' };
  return { server: 'data plane', noKernelView: view.reason ?? STILL_PREPARED };
}
