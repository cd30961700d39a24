/** Lines of a document with a bound: a graph of a hostile file may print a thousand times as long as it is. */
import { atOnce } from '../storage/in-slices.ts';
import { joinedBytes } from '../storage/joined-bytes.ts';
import { Utf8Pieces } from '../storage/utf8-pieces.ts';
import { escapeJson, visible } from '../visible-text.ts';

/** Much more than anybody reads, and a large model's graph fits. */
const MAX_CHARACTERS = 16 * 1024 * 1024;

/** How each line is escaped: nothing of a checkpoint gets into a document another way. */
const ESCAPES = { text: visible, json: escapeJson } as const;

export class DocumentWriter {
  readonly #lines = new Utf8Pieces();
  #ended = false;
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
    this.part(text, '\n');
  }

  /** A part of a line that is long: the next part, or the line that ends it, goes on behind it. */
  part(text: string, end = ''): void {
    if (this.full) return;
    const part = this.#escape(text) + end;
    this.#left -= part.length;
    this.#lines.add(part);
  }

  /** The line that ends the document: whatever comes after it is left out. */
  last(line: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#left = 0;
    this.#lines.add(`${line}\n`);
  }

  /** The lines, and when some were left out `rest`. Holds the event loop: for a process of its own, and for what is small. */
  text(rest: string): string {
    return atOnce(this.bytes(rest)).toString();
  }

  /** The same in UTF-8. Yields between its parts. */
  *bytes(rest: string): Generator<void, Buffer> {
    if (this.full) this.last(rest);
    return yield* joinedBytes(this.#lines.end());
  }
}
