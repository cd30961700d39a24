/**
 * Watches the checkpoint file of a mount from outside. It looks at the file by name, because the name may lead to another file by now. It
 * only calls stat and reads nothing: when the folder reports a change of the name, at intervals, and on request. Neither the timer nor the
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
  /** Identity of the file that is served now. Our own commits change it. */
  readonly opened: () => Fingerprint;
  /** Whether our own commit is writing the file; changes mean nothing meanwhile. */
  readonly writing?: () => boolean;
  /**
   * Called at every change of state, the first time when the file is no longer the one that was opened; and again when another file was opened
   * that is not the one with the name either.
   */
  readonly onChange: (state: BaseState) => void;
  /** Called after every look that found the file stale. */
  readonly onStale?: () => void;
  readonly intervalMs?: number | undefined;
}

/** Maximum delay where the folder cannot be watched (a network file system, no inotify watches left). */
const INTERVAL_MS = 5000;
/** A file that is being written reports every write; this groups them into one look. */
const GATHER_MS = 50;

export class BaseWatch {
  readonly #path: string;
  readonly #options: BaseWatchOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #folder: FSWatcher | undefined;
  #soon: NodeJS.Timeout | undefined;
  /** What was told last, and of which file. */
  #last = '';
  #lastOpened: Fingerprint | undefined;
  /** Looks are numbered in the order in which they began. */
  #looks = 0;
  #lastLook = 0;
  #stopped = false;

  /** `path` is absolute. */
  constructor(path: string, options: BaseWatchOptions) {
    this.#path = path;
    this.#options = options;
    this.#timer = setInterval(() => void this.state(), options.intervalMs ?? INTERVAL_MS);
    this.#timer.unref();
    this.#folder = this.#watchFolder();
  }

  /** The file's state at the last look. */
  get stale(): boolean {
    return this.#last !== '';
  }

  /** Looks at the file. Call it, too, when another file was opened: what was told before is not known of that one. */
  async state(): Promise<BaseState> {
    const look = ++this.#looks;
    const { state, opened } = await this.#compare();
    // A look that began earlier and ends later may have seen an older file.
    if (this.#stopped || look < this.#lastLook) return state;
    this.#lastLook = look;
    const name = state.stale ? state.reason : '';
    const isNews = name !== this.#last || (state.stale && opened !== this.#lastOpened);
    this.#last = name;
    this.#lastOpened = opened;
    if (isNews) this.#options.onChange(state);
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

  async #compare(): Promise<{ readonly state: BaseState; readonly opened: Fingerprint }> {
    for (;;) {
      const opened = this.#options.opened();
      const state = await compareWith(this.#path, opened);
      // After a commit of ours or a reload, what was seen belongs to neither file.
      if (this.#options.opened() !== opened) continue;
      return { state: this.#options.writing?.() ? { stale: false } : state, opened };
    }
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

/** Distinguishes the states of the file with this name; undefined when there is no file. */
export async function identifyFile(path: string): Promise<string | undefined> {
  const found = await bigintStat(path).catch(() => undefined);
  return found && `${found.dev} ${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
}

/** Whether a file is the one that was opened, unchanged. */
export function isSameState(one: Fingerprint, other: Fingerprint): boolean {
  return (
    one.dev === other.dev && one.ino === other.ino && one.size === other.size && one.mtimeNs === other.mtimeNs
  );
}

function bigintStat(path: string) {
  return stat(path, { bigint: true });
}
