/** Lines of a document with a bound: a graph of a hostile file may print a thousand times as long as it is. */

/** Much more than anybody reads, and a large model's graph fits. */
const MAX_CHARACTERS = 16 * 1024 * 1024;

export class DocumentWriter {
  readonly #lines: string[] = [];
  #left: number;

  constructor(maxCharacters: number = MAX_CHARACTERS) {
    this.#left = maxCharacters;
  }

  /** Whether there is no more room; what is written then is left out. */
  get full(): boolean {
    return this.#left <= 0;
  }

  line(text = ''): void {
    if (this.full) return;
    this.#left -= text.length + 1;
    this.#lines.push(text);
  }

  /** The lines, and when some were left out `rest`. */
  text(rest: string): string {
    return `${[...this.#lines, ...(this.full ? [rest] : [])].join('\n')}\n`;
  }
}
