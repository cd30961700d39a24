/** Something that was opened and must be closed when nobody uses it any more. */
export interface ValueLease<V> {
  readonly value: V;
  release(): void;
}

interface Kept<V> {
  readonly value: Promise<V>;
  users: number;
  /** It cannot be found any more: its last user closes it. */
  dropped: boolean;
}

/**
 * Keeps things open that are expensive to open: at most `limit` of them, and the least recently used one is closed first. A thing in use is
 * never closed.
 */
export class Leases<K, V> {
  readonly #kept = new Map<K, Kept<V>>();
  readonly #limit: number;
  readonly #close: (value: V) => void;

  constructor(limit: number, close: (value: V) => void) {
    this.#limit = limit;
    this.#close = close;
  }

  /** Each lease must be released exactly once. */
  async take(key: K, open: () => Promise<V>): Promise<ValueLease<V>> {
    const kept = this.#kept.get(key) ?? { value: open(), users: 0, dropped: false };
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    kept.users++;
    try {
      const value = await kept.value;
      this.#trim();
      return { value, release: () => this.#released(kept) };
    } catch (cause) {
      if (this.#kept.get(key) === kept) this.#kept.delete(key);
      throw cause;
    }
  }

  /** The next request opens it again. */
  drop(key: K): void {
    const kept = this.#kept.get(key);
    if (kept === undefined) return;
    this.#kept.delete(key);
    kept.dropped = true;
    if (kept.users === 0) this.#closeKept(kept);
  }

  dropAll(): void {
    for (const key of [...this.#kept.keys()]) this.drop(key);
  }

  #released(kept: Kept<V>): void {
    if (--kept.users === 0 && kept.dropped) this.#closeKept(kept);
  }

  #trim(): void {
    for (const key of this.#kept.keys()) {
      if (this.#kept.size <= this.#limit) return;
      this.drop(key);
    }
  }

  #closeKept(kept: Kept<V>): void {
    kept.value.then(this.#close, () => undefined);
  }
}
