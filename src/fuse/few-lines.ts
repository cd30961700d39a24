/** Lines in a period. */
const MOST_LINES = 16;
const PERIOD_MS = 60_000;

/**
 * Log lines that a program can cause by the thousand (`chmod -R`, `rm -r`): the first of a minute are said, so that they do not push all
 * others out of the log. A line is made only when it is said, because finding a path goes through the tree.
 */
export class FewLines {
  readonly #log: (message: string) => void;
  #sinceMs = Number.NEGATIVE_INFINITY;
  #said = 0;

  constructor(log: (message: string) => void) {
    this.#log = log;
  }

  say(line: () => string): void {
    const nowMs = Date.now();
    if (nowMs - this.#sinceMs >= PERIOD_MS) {
      this.#sinceMs = nowMs;
      this.#said = 0;
    }
    if (++this.#said <= MOST_LINES) this.#log(line());
  }
}
