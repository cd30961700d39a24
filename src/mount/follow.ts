/**
 * `--follow`: when the checkpoint is replaced or rewritten, the mount shows the new content. A file that is renamed over the checkpoint is
 * complete and is taken at once. A file that is rewritten in place is taken after a second without changes. When the new file cannot be
 * opened, that is logged once and the old content stays. The old content also stays while there are uncommitted edits, because they belong
 * to it.
 *
 * One attempt runs at a time; `look` may be called at any time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { MlfsError, messageOf } from '../errors.ts';
import type { Log } from '../telemetry/log.ts';
import type { BaseState } from './base-watch.ts';

export interface FollowSources {
  readonly state: () => Promise<BaseState>;
  /** Distinguishes the states of the file with this name; undefined when there is no file. */
  readonly identify: () => Promise<string | undefined>;
  /** Makes the file the mount's content. Throws ERR_MLFS_BUSY while there are edits. */
  readonly reload: () => Promise<unknown>;
  readonly log: Log;
  readonly quietMs?: number;
  /** Called when there is nothing more to do until the next look. */
  readonly onIdle?: () => void;
}

const QUIET_MS = 1000;

export class Follow {
  readonly #sources: FollowSources;
  readonly #stopped = new AbortController();
  #pursuing = false;
  /** The state that could not be taken. It is not tried again until the file changes. */
  #refused: string | undefined;

  constructor(sources: FollowSources) {
    this.#sources = sources;
  }

  /** The file has changed, or may have changed. */
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

  /** The edits that blocked a new file may be gone. */
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
      // The file was created under its final name instead of renamed to it, so it may be incomplete.
      if (state.reason === 'replaced' && !isBusy(refusal) && !(await this.#isQuiet(found))) continue;
      this.#refuse(found, refusal);
      return;
    }
  }

  async #isQuiet(found: string): Promise<boolean> {
    await sleep(this.#sources.quietMs ?? QUIET_MS, undefined, { signal: this.#stopped.signal, ref: false });
    return (await this.#sources.identify()) === found;
  }

  /** Returns why the file could not be taken. */
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
    const why = isBusy(cause)
      ? 'the new file is not shown yet'
      : 'the new file cannot be shown, the old one stays';
    this.#sources.log.warn(`${why}: ${messageOf(cause)}`, { advice });
  }
}

function isBusy(cause: unknown): boolean {
  return cause instanceof MlfsError && cause.code === 'ERR_MLFS_BUSY';
}
