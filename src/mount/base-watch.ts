/**
 * Watches the checkpoint file of a mount from outside: by name, because what was opened may be another file by now. Nothing is
 * read, only stat'ed: when its folder says that something happened to the name, now and then, and whenever somebody asks. Neither timer nor
 * watch keeps the process alive.
 */
import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Fingerprint } from '../storage/file-source.ts';

export type BaseState =
  | { readonly stale: false }
  | { readonly stale: true; readonly reason: 'gone' | 'replaced' | 'truncated' | 'changed' };

export interface BaseWatchOptions {
  /** Of the file that is served now. A commit of ours changes it. */
  readonly opened: () => Fingerprint;
  /** While a commit of ours is writing the file its changes mean nothing. */
  readonly writing?: () => boolean;
  /** Hears of every change of state, first when it is no longer what was opened. */
  readonly onChange: (state: BaseState) => void;
  /** Hears of every look that found it stale. */
  readonly onStale?: () => void;
  readonly intervalMs?: number | undefined;
}

/** Where the folder cannot be watched (a network file system, no inotify left), this is how late we are. */
const INTERVAL_MS = 5000;
/** A file that is being written tells of every write: one look for all of them. */
const GATHER_MS = 50;

export class BaseWatch {
  readonly #path: string;
  readonly #options: BaseWatchOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #folder: FSWatcher | undefined;
  #soon: NodeJS.Timeout | undefined;
  #last = '';
  #stopped = false;

  /** `path` is absolute. */
  constructor(path: string, options: BaseWatchOptions) {
    this.#path = path;
    this.#options = options;
    this.#timer = setInterval(() => void this.state(), options.intervalMs ?? INTERVAL_MS);
    this.#timer.unref();
    this.#folder = this.#watchFolder();
  }

  /** How it was when it was last looked at. */
  get stale(): boolean {
    return this.#last !== '';
  }

  async state(): Promise<BaseState> {
    const state = await this.#compare();
    if (this.#stopped) return state;
    const name = state.stale ? state.reason : '';
    if (name !== this.#last) {
      this.#last = name;
      this.#options.onChange(state);
    }
    if (state.stale) this.#options.onStale?.();
    return state;
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    this.#folder?.close();
  }

  #watchFolder(): FSWatcher | undefined {
    try {
      const folder = watch(dirname(this.#path), { persistent: false }, (_event, name) => {
        if (name === null || name === basename(this.#path)) this.#lookSoon();
      });
      folder.on('error', () => folder.close());
      return folder;
    } catch (cause) {
      if (cause instanceof Error) return undefined;
      throw cause;
    }
  }

  #lookSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      void this.state();
    }, GATHER_MS).unref();
  }

  async #compare(): Promise<BaseState> {
    const before = this.#options.opened();
    const state = await compareWith(this.#path, before);
    const opened = this.#options.opened();
    if (this.#options.writing?.()) return { stale: false };
    // A commit of ours ended, or a reload, between the two: what was seen is neither the one nor the other.
    return opened === before ? state : compareWith(this.#path, opened);
  }
}

async function compareWith(path: string, opened: Fingerprint): Promise<BaseState> {
  let now: Awaited<ReturnType<typeof bigintStat>>;
  try {
    now = await bigintStat(path);
  } catch {
    return { stale: true, reason: 'gone' };
  }
  if (now.dev !== opened.dev || now.ino !== opened.ino) return { stale: true, reason: 'replaced' };
  if (now.size < BigInt(opened.size)) return { stale: true, reason: 'truncated' };
  if (now.size !== BigInt(opened.size) || now.mtimeNs !== opened.mtimeNs) {
    return { stale: true, reason: 'changed' };
  }
  return { stale: false };
}

/** Tells one state of the file of a name from another; undefined when there is none. */
export async function identifyFile(path: string): Promise<string | undefined> {
  const found = await bigintStat(path).catch(() => undefined);
  return found && `${found.dev} ${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
}

/** Whether a file is the one that was opened, as it was then. */
export function isSameState(one: Fingerprint, other: Fingerprint): boolean {
  return (
    one.dev === other.dev && one.ino === other.ino && one.size === other.size && one.mtimeNs === other.mtimeNs
  );
}

function bigintStat(path: string) {
  return stat(path, { bigint: true });
}
