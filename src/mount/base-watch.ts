/**
 * Watches the checkpoint file of a mount from outside: by name, because what was opened may be another file by now. Nothing is
 * read, only stat'ed, now and then and whenever somebody asks. The timer never keeps the process alive.
 */
import { stat } from 'node:fs/promises';
import type { Fingerprint } from '../storage/file-source.ts';

export type BaseState =
  | { readonly stale: false }
  | { readonly stale: true; readonly reason: 'gone' | 'replaced' | 'truncated' | 'changed' };

export class BaseWatch {
  readonly #path: string;
  readonly #opened: Fingerprint;
  readonly #onChange: (state: BaseState) => void;
  readonly #timer: NodeJS.Timeout;
  #last = '';

  /** `path` is absolute. `onChange` hears of every change of state, first when it is no longer what was opened. */
  constructor(
    path: string,
    opened: Fingerprint,
    onChange: (state: BaseState) => void,
    intervalMs: number = 5000,
  ) {
    this.#path = path;
    this.#opened = opened;
    this.#onChange = onChange;
    this.#timer = setInterval(() => void this.state(), intervalMs);
    this.#timer.unref();
  }

  async state(): Promise<BaseState> {
    const state = await this.#compare();
    const name = state.stale ? state.reason : '';
    if (name !== this.#last) {
      this.#last = name;
      this.#onChange(state);
    }
    return state;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #compare(): Promise<BaseState> {
    let now: Awaited<ReturnType<typeof bigintStat>>;
    try {
      now = await bigintStat(this.#path);
    } catch {
      return { stale: true, reason: 'gone' };
    }
    if (now.dev !== this.#opened.dev || now.ino !== this.#opened.ino)
      return { stale: true, reason: 'replaced' };
    if (now.size < BigInt(this.#opened.size)) return { stale: true, reason: 'truncated' };
    if (now.size !== BigInt(this.#opened.size) || now.mtimeNs !== this.#opened.mtimeNs) {
      return { stale: true, reason: 'changed' };
    }
    return { stale: false };
  }
}

function bigintStat(path: string) {
  return stat(path, { bigint: true });
}
