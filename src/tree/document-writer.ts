/** Lines of a document with a bound: a graph of a hostile file may print a thousand times as long as it is. */
import { escapeJson, visible } from '../visible-text.ts';

/** Much more than anybody reads, and a large model's graph fits. */
const MAX_CHARACTERS = 16 * 1024 * 1024;

/** How each line is escaped: nothing of a checkpoint gets into a document another way. */
const ESCAPES = { text: visible, json: escapeJson } as const;

export class DocumentWriter {
  readonly #lines: string[] = [];
  readonly #escape: (line: string) => string;
  #left: number;

  constructor(kind: keyof typeof ESCAPES, maxCharacters: number = MAX_CHARACTERS) {
    this.#escape = ESCAPES[kind];
    this.#left = maxCharacters;
  }

  /** Whether there is no more room; what is written then is left out. */
  get full(): boolean {
    return this.#left <= 0;
  }

  line(text = ''): void {
    if (this.full) return;
    const line = this.#escape(text);
    this.#left -= line.length + 1;
    this.#lines.push(line);
  }

  /** The lines, and when some were left out `rest`. */
  text(rest: string): string {
    return `${[...this.#lines, ...(this.full ? [rest] : [])].join('\n')}\n`;
  }
}
