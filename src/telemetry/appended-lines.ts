import type { Appender } from '../storage/content.ts';

const NEWLINE = 10;
const NOTHING = Buffer.alloc(0);

/**
 * Puts together the lines that one open file writes in parts: a program's buffer is full in the middle of a line, and a transport cuts
 * what is large. A line that grows beyond `maxBytes` is handed on as far as that, with one byte more that says so; its rest is dropped.
 */
export class AppendedLines implements Appender {
  readonly #maxBytes: number;
  readonly #take: (line: string) => void;
  /** The beginning of a line. */
  #begun: Buffer = NOTHING;

  constructor(maxBytes: number, take: (line: string) => void) {
    this.#maxBytes = maxBytes;
    this.#take = take;
  }

  append(bytes: Uint8Array): void {
    let from = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      this.#begin(bytes.subarray(from, end));
      this.end();
      from = end + 1;
    }
    this.#begin(bytes.subarray(from));
  }

  /** A line without a newline is a line, too. */
  end(): void {
    const line = this.#begun.toString();
    this.#begun = NOTHING;
    this.#take(line);
  }

  #begin(bytes: Uint8Array): void {
    const room = this.#maxBytes + 1 - this.#begun.byteLength;
    if (bytes.byteLength > 0 && room > 0) {
      this.#begun = Buffer.concat([this.#begun, bytes.subarray(0, room)]);
    }
  }
}
