/** Something with a descriptor that it can do without for a while. */
interface Closable {
  /** Closes the descriptor; the next use opens it again. */
  letGo(): Promise<void>;
}

/** Keeps few files open of many that are in use: the least recently used one lets go of its descriptor when there are too many. */
export class FewOpen {
  readonly #most: number;
  /** The least recently used first. */
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
    // Its bytes were written; what is not durable is so after an fsync of the file, whichever descriptor that has.
    oldest.letGo().catch(() => undefined);
  }

  closed(file: Closable): void {
    this.#open.delete(file);
  }
}
