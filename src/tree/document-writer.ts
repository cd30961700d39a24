/** Writes the lines of a document up to a maximum size: the graph of a hostile file may print a thousand times as long as the file is. */
import { atOnce } from '../storage/in-slices.ts';
import { joinedBytes } from '../storage/joined-bytes.ts';
import { Utf8Pieces } from '../storage/utf8-pieces.ts';
import { escapeJson, visible } from '../visible-text.ts';

/** Much more than anybody reads; the graph of a large model fits. */
const MAX_CHARACTERS = 16 * 1024 * 1024;

/** How each line is escaped: no text of a checkpoint reaches a document in another way. */
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

  /** Whether the document is full; further lines are left out. */
  get full(): boolean {
    return this.#left <= 0;
  }

  line(text = ''): void {
    this.part(text, '\n');
  }

  /** Writes a part of a long line: the next part, or the end of the line, follows it. */
  part(text: string, end = ''): void {
    if (this.full) return;
    const part = this.#escape(text) + end;
    this.#left -= part.length;
    this.#lines.add(part);
  }

  /** Writes the line that ends the document: everything after it is left out. */
  last(line: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#left = 0;
    this.#lines.add(`${line}\n`);
  }

  /** The lines, followed by `rest` if some were left out. Blocks the event loop: use it in a separate process, or for small documents. */
  text(rest: string): string {
    return atOnce(this.bytes(rest)).toString();
  }

  /** The same in UTF-8. Yields between its parts. */
  *bytes(rest: string): Generator<void, Buffer> {
    if (this.full) this.last(rest);
    return yield* joinedBytes(this.#lines.end());
  }
}
