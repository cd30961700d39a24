/** A FIFO queue of waiting callers. Joining and leaving cost the same however many wait. */
export class Waiting<T> {
  readonly #resolvers = new Set<(value: T | undefined) => void>();

  /** The value, or undefined after the timeout. Throws the signal's reason. */
  wait(withinMs: number, signal: AbortSignal): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        this.#resolvers.delete(onEnd);
      };
      const onEnd = (value: T | undefined) => {
        end();
        resolve(value);
      };
      const onAbort = () => {
        end();
        reject(signal.reason);
      };
      const timer = setTimeout(() => onEnd(undefined), withinMs);
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      this.#resolvers.add(onEnd);
    });
  }

  /** Gives the value to the first in the queue; false when nobody waits. */
  give(value: T): boolean {
    const [first] = this.#resolvers;
    first?.(value);
    return first !== undefined;
  }

  /** Gives the value to everybody who waits. */
  giveAll(value: T): void {
    for (const one of [...this.#resolvers]) one(value);
  }
}
