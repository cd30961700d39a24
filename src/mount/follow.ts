/**
 * `--follow`: when the checkpoint file is another one, or other bytes, the mount shows that. A file renamed over the checkpoint is
 * whole and is taken at once. One that is being rewritten in place is taken when nothing happened to it for a second. What cannot
 * be opened is said once and the old content stays; so it is while there are uncommitted edits, which would have nowhere to go.
 *
 * One attempt at a time; `look` may be called as often as somebody likes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { MlfsError, messageOf } from '../errors.ts';
import type { Log } from '../telemetry/log.ts';
import type { BaseState } from './base-watch.ts';

export interface FollowSources {
  readonly state: () => Promise<BaseState>;
  /** Tells one state of the file by that name from another; undefined when there is none. */
  readonly identify: () => Promise<string | undefined>;
  /** Makes the file the mount's content. Throws ERR_MLFS_BUSY while there are edits. */
  readonly reload: () => Promise<unknown>;
  readonly log: Log;
  readonly quietMs?: number;
  /** Hears that there is nothing more to do until somebody looks again. */
  readonly onIdle?: () => void;
}

const QUIET_MS = 1000;

export class Follow {
  readonly #sources: FollowSources;
  readonly #stopped = new AbortController();
  #pursuing = false;
  /** What was looked at and could not be taken: it is not tried again until something changes. */
  #refused: string | undefined;

  constructor(sources: FollowSources) {
    this.#sources = sources;
  }

  /** Something happened to the file, or may have. */
  look(): void {
    if (this.#pursuing || this.#stopped.signal.aborted) return;
    this.#pursuing = true;
    this.#pursue()
      .catch((cause: unknown) => {
        if (!this.#stopped.signal.aborted) this.#sources.log.error(messageOf(cause));
      })
      .finally(() => {
        this.#pursuing = false;
        this.#sources.onIdle?.();
      });
  }

  /** The edits that were in the way may be gone. */
  retry(): void {
    this.#refused = undefined;
    this.look();
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #pursue(): Promise<void> {
    for (;;) {
      const state = await this.#sources.state();
      if (!state.stale || state.reason === 'gone' || this.#stopped.signal.aborted) return;
      const found = await this.#sources.identify();
      if (found === undefined || found === this.#refused) return;
      if (state.reason !== 'replaced' && !(await this.#isQuiet(found))) continue;
      this.#stopped.signal.throwIfAborted();
      const refusal = await this.#take();
      if (refusal === undefined) return;
      if ((await this.#sources.identify()) !== found) continue;
      // Made under its final name instead of renamed there: it may be half written.
      if (state.reason === 'replaced' && !isBusy(refusal) && !(await this.#isQuiet(found))) continue;
      this.#refuse(found, refusal);
      return;
    }
  }

  async #isQuiet(found: string): Promise<boolean> {
    await sleep(this.#sources.quietMs ?? QUIET_MS, undefined, { signal: this.#stopped.signal, ref: false });
    return (await this.#sources.identify()) === found;
  }

  /** Returns why it could not be taken. */
  async #take(): Promise<unknown> {
    try {
      await this.#sources.reload();
      return undefined;
    } catch (cause) {
      return cause;
    }
  }

  #refuse(found: string, cause: unknown): void {
    this.#refused = found;
    const advice = cause instanceof MlfsError ? cause.advice : undefined;
    const why = isBusy(cause) ? 'the new file waits' : 'the new file cannot be followed, the old one stays';
    this.#sources.log.warn(`${why}: ${messageOf(cause)}`, { advice });
  }
}

function isBusy(cause: unknown): boolean {
  return cause instanceof MlfsError && cause.code === 'ERR_MLFS_BUSY';
}
