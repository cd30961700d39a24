import type { RequestContext } from './filesystem.ts';

/** The caller, and whether it still waits. */
type Caller = Pick<RequestContext, 'uid' | 'signal'>;

/**
 * Lets a few tasks run at a time. A user has at most half of the places, and users take turns: a user with thousands of tasks waits for them,
 * while another user's first task is next.
 */
export class FairGate {
  readonly #places: number;
  readonly #running = new Map<number, number>();
  #runningAll = 0;
  /** Waiting tasks by user; the user whose turn is next comes first. */
  readonly #waiting = new Map<number, (() => void)[]>();

  /** `places` must be at least two. */
  constructor(places: number) {
    this.#places = places;
  }

  /** Throws the signal's reason if the caller is interrupted before its turn. */
  async run<T>({ uid, signal }: Caller, task: () => Promise<T>): Promise<T> {
    if (this.#hasPlaceFor(uid)) this.#enter(uid);
    else await this.#turn(uid, signal);
    try {
      signal.throwIfAborted();
      return await task();
    } finally {
      this.#leave(uid);
    }
  }

  /** Resolves with a place. Rejects, and leaves the queue, if the caller is interrupted. */
  #turn(uid: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const waiting = this.#waiting.get(uid) ?? [];
      const admit = () => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        const own = this.#waiting.get(uid) ?? [];
        const at = own.indexOf(admit);
        if (at >= 0) own.splice(at, 1);
        if (own.length === 0) this.#waiting.delete(uid);
        reject(signal.reason);
      };
      signal.addEventListener('abort', leave, { once: true });
      waiting.push(admit);
      this.#waiting.set(uid, waiting);
    });
  }

  #hasPlaceFor(uid: number): boolean {
    return this.#runningAll < this.#places && (this.#running.get(uid) ?? 0) < this.#places / 2;
  }

  #enter(uid: number): void {
    this.#runningAll++;
    this.#running.set(uid, (this.#running.get(uid) ?? 0) + 1);
  }

  #leave(uid: number): void {
    this.#runningAll--;
    const left = (this.#running.get(uid) ?? 0) - 1;
    if (left > 0) this.#running.set(uid, left);
    else this.#running.delete(uid);
    this.#admit();
  }

  #admit(): void {
    for (const [uid, waiting] of this.#waiting) {
      if (!this.#hasPlaceFor(uid)) continue;
      const admit = waiting.shift();
      this.#waiting.delete(uid);
      if (waiting.length > 0) this.#waiting.set(uid, waiting);
      this.#enter(uid);
      admit?.();
      return;
    }
  }
}
