/** After an unmount: waits until the server has let go of the checkpoint, so that the next command finds its file and its lock free. */
import { setTimeout as delay } from 'node:timers/promises';
import { startTimeOf } from '../storage/lock-holders.ts';
import type { FoundMount } from './find-mount.ts';
import { hasConnection, type MountServer, serverOfMount } from './server-process.ts';
import type { UnmountedCheckpoint } from './unmounted-checkpoint.ts';

/** A server under load needs a second at most. */
const WAIT_MS = 10_000;
const POLL_MS = 20;

export class ServerEnd {
  readonly #server: MountServer | undefined;
  readonly #startTime: string | undefined;
  /** The checkpoint of a read-write mount, which is locked. */
  readonly #locked: UnmountedCheckpoint | undefined;

  private constructor(
    server: MountServer | undefined,
    startTime: string | undefined,
    locked: UnmountedCheckpoint | undefined,
  ) {
    this.#server = server;
    this.#startTime = startTime;
    this.#locked = locked;
  }

  /** To be called before the unmount, while the server can be found. `found`: what the mount says of itself. */
  static async of(mountpoint: string, found: FoundMount | undefined): Promise<ServerEnd> {
    const server = await serverOfMount(mountpoint);
    const { mode, image, journal } = found?.status ?? {};
    const locked =
      mode === 'read-write' && image !== undefined
        ? await lockedCheckpoint(image.path, journal?.state_directory)
        : undefined;
    return new ServerEnd(server, server && (await startTimeOf(server.pid)), locked);
  }

  /** Resolves with false when the server still has the checkpoint after ten seconds. A process that serves other things may live on. */
  async wait(timeoutMs: number = WAIT_MS): Promise<boolean> {
    for (const deadline = Date.now() + timeoutMs; !(await this.#hasLetGo()); await delay(POLL_MS)) {
      if (Date.now() > deadline) return false;
    }
    return true;
  }

  async #hasLetGo(): Promise<boolean> {
    if (this.#server !== undefined) {
      const { pid, connection } = this.#server;
      if ((await startTimeOf(pid)) !== this.#startTime) return true;
      if (await hasConnection(pid, connection)) return false;
    }
    // A file that cannot be looked at cannot be waited for.
    return !(await this.#locked?.isLocked().catch(() => false));
  }
}

/** Only a read-write mount has a lock to wait for: the journal's modules are not loaded for others. */
async function lockedCheckpoint(
  path: string,
  stateDirectory: string | undefined,
): Promise<UnmountedCheckpoint> {
  const checkpoints = await import('./unmounted-checkpoint.ts');
  return new checkpoints.UnmountedCheckpoint(path, { stateDirectory });
}
