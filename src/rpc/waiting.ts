/** Those who wait for something, the first to come first. To come and to go cost the same however many wait. */
export class Waiting<T> {
  readonly #resolvers = new Set<(value: T | undefined) => void>();

  /** What came, or undefined after so long. Throws the signal's reason. */
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

  /** Gives it to who came first; false when nobody waits. */
  give(value: T): boolean {
    const [first] = this.#resolvers;
    first?.(value);
    return first !== undefined;
  }

  /** Gives it to everybody. */
  giveAll(value: T): void {
    for (const one of [...this.#resolvers]) one(value);
  }
}
