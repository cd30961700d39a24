import { errno } from '../errors.ts';
import type { StoredContent } from '../storage/content.ts';
import { Waiting } from './waiting.ts';

/** A nameless file outside the heap, gone when it is closed. */
export type CallFile = StoredContent & { close(): Promise<void> };

/**
 * idle: the input is not written yet, or is being written again.
 * queued: it waits for a worker. running: a worker has it.
 * done: the answer is there. failed: there is none, and `error` says why.
 */
export type CallState = 'idle' | 'queued' | 'running' | 'done' | 'failed';

/** One question and its answer. Callers wait here for the answer. */
export class Call {
  readonly id: string;
  readonly input: CallFile;
  /** The answer. `draft` is what a worker has written so far. */
  output: CallFile;
  draft: CallFile;
  /** Increases with every change: one of the transports recognises stale pages by a file's time. */
  changedMs = Date.now();
  #state: CallState = 'idle';
  error = '';
  /** Increases with every new input: an answer to an older input is ignored. */
  version = 0;
  /** How often a worker took it and left without an answer. */
  abandoned = 0;
  readonly #waiting = new Waiting<true>();
  readonly #makeFile: () => CallFile;

  constructor(id: string, makeFile: () => CallFile) {
    this.id = id;
    this.#makeFile = makeFile;
    this.input = makeFile();
    this.output = makeFile();
    this.draft = makeFile();
  }

  get state(): CallState {
    return this.#state;
  }

  set state(state: CallState) {
    this.#state = state;
    this.changedMs = Math.max(Date.now(), this.changedMs + 1);
  }

  /** The input is being written again: the previous answer is superseded. */
  async reset(): Promise<void> {
    if (this.state === 'idle') return;
    this.state = 'idle';
    this.version++;
    this.error = '';
    this.abandoned = 0;
    const old = [this.output, this.draft];
    this.output = this.#makeFile();
    this.draft = this.#makeFile();
    for (const file of old) await file.close();
  }

  /** Sets the answer, or with `error` why there is none. */
  settle(error?: string): void {
    this.state = error === undefined ? 'done' : 'failed';
    this.error = error ?? '';
    if (error === undefined) [this.output, this.draft] = [this.draft, this.output];
    this.#waiting.giveAll(true);
  }

  /**
   * Resolves when there is an answer. Throws EIO when the worker could not give one, ETIMEDOUT after the timeout, EAGAIN at once with a
   * timeout of 0, and the signal's reason.
   */
  async answered(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const endMs = Date.now() + timeoutMs;
    while (this.state !== 'done') {
      if (this.state === 'failed') throw errno('EIO', `${this.id}: ${this.error}`);
      if (timeoutMs === 0) throw errno('EAGAIN', `${this.id}: there is no answer yet`);
      const leftMs = endMs - Date.now();
      if (leftMs <= 0) throw errno('ETIMEDOUT', `${this.id}: no answer within ${timeoutMs} ms`);
      await this.#waiting.wait(leftMs, signal);
    }
  }

  /** Closes the files of a call that cannot be reached any more. */
  async close(): Promise<void> {
    if (this.state !== 'done') this.settle('the call was withdrawn');
    for (const file of [this.input, this.output, this.draft]) await file.close();
  }
}
