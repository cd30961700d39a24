/** Something with a descriptor that can be closed for a while. */
interface Closable {
  /** Closes the descriptor; the next use opens it again. */
  letGo(): Promise<void>;
}

/** Keeps few descriptors open for many files in use: when there are too many, the least recently used file closes its own. */
export class FewOpen {
  readonly #most: number;
  /** The least recently used file comes first. */
  readonly #open = new Set<Closable>();

  constructor(most: number) {
    this.#most = most;
  }

  used(file: Closable): void {
    this.#open.delete(file);
    this.#open.add(file);
    if (this.#open.size <= this.#most) return;
    const [oldest] = this.#open;
    if (oldest === undefined) return;
    this.#open.delete(oldest);
    // Its bytes were written; a later fsync of the file makes them durable through any descriptor.
    oldest.letGo().catch(() => undefined);
  }

  closed(file: Closable): void {
    this.#open.delete(file);
  }
}
