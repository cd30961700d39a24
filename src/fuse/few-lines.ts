/** Number of lines in a period. */
const MOST_LINES = 16;
const PERIOD_MS = 60_000;

/**
 * Limits log lines that a program can cause by the thousand (`chmod -R`, `rm -r`). Only the first lines of a minute are logged, so that
 * they do not displace all others. A line is composed only when it is logged, because finding a path searches the tree.
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
