import type { Appender } from '../storage/content.ts';
import { cutTo } from './cut-text.ts';
import { TurnBudget } from './turn-budget.ts';

const NEWLINE = 10;
const NOTHING = Buffer.alloc(0);

/** Bytes that are scanned before the turn of the event loop is checked. */
const SLICE_BYTES = 4 * 1024;
/** Lines that are passed on in one turn of the event loop: a few milliseconds of work. */
const LINES_PER_TURN = 2048;

/**
 * Joins the parts of lines that one writer writes: a program flushes its buffer in the middle of a line, and a transport splits large writes.
 * A line of more than `maxBytes` is cut and ends in `…`; the rest of it is dropped as it arrives.
 *
 * Lines are passed on together, as one text. If there are very many, each turn of the event loop passes on some of them.
 */
export class AppendedLines implements Appender {
  /** Shared by all writers of one file. */
  static budget(): TurnBudget {
    return new TurnBudget(LINES_PER_TURN);
  }

  readonly #maxBytes: number;
  readonly #sliceBytes: number;
  readonly #take: (lines: string) => void;
  readonly #budget: TurnBudget;
  /** The beginning of an unfinished line. */
  #begun: Buffer = NOTHING;
  /** Bytes that were written before and wait for their turn. */
  #waiting: Promise<void> | undefined;

  /** `take` gets complete lines, each with its newline. */
  constructor(maxBytes: number, take: (lines: string) => void, budget: TurnBudget = AppendedLines.budget()) {
    this.#maxBytes = maxBytes;
    // This way only a line that began in another slice can be too long.
    this.#sliceBytes = Math.min(SLICE_BYTES, maxBytes);
    this.#take = take;
    this.#budget = budget;
  }

  /** Resolves when every line that ends in these bytes was passed on. Returns no promise if that happened at once. */
  append(bytes: Uint8Array): Promise<void> | undefined {
    const at = this.#waiting === undefined ? this.#appendInTurn(bytes, 0) : 0;
    return at >= bytes.byteLength ? undefined : this.#later((from) => this.#appendRest(bytes, at, from));
  }

  /** Passes on a last line without a newline, too. */
  end(): Promise<void> | undefined {
    if (this.#waiting !== undefined) return this.#later((before) => before.then(() => this.#endBegun()));
    this.#endBegun();
    return undefined;
  }

  #later(work: (before: Promise<void>) => Promise<void>): Promise<void> {
    const waiting = work(this.#waiting ?? Promise.resolve()).finally(() => {
      if (this.#waiting === waiting) this.#waiting = undefined;
    });
    this.#waiting = waiting;
    return waiting;
  }

  async #appendRest(bytes: Uint8Array, from: number, before: Promise<void>): Promise<void> {
    await before;
    for (let at = from; at < bytes.byteLength; ) {
      await this.#budget.free();
      at = this.#appendInTurn(bytes, at);
    }
  }

  /** Returns how many bytes it consumed. */
  #appendInTurn(bytes: Uint8Array, from: number): number {
    let at = from;
    for (; at < bytes.byteLength && !this.#budget.isSpent; at += this.#sliceBytes) {
      this.#appendSlice(bytes.subarray(at, at + this.#sliceBytes));
    }
    return at;
  }

  #appendSlice(bytes: Uint8Array): void {
    const first = bytes.indexOf(NEWLINE);
    if (first < 0) {
      this.#begin(bytes);
      return;
    }
    this.#begin(bytes.subarray(0, first));
    const from = first + 1;
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    const more = bytes.subarray(from, end);
    this.#budget.spend(1 + newlinesIn(more));
    this.#take(this.#endLine() + Buffer.from(more.buffer, more.byteOffset, more.byteLength).toString());
    this.#begin(bytes.subarray(end));
  }

  #endBegun(): void {
    if (this.#begun.byteLength > 0) this.#take(this.#endLine());
  }

  #endLine(): string {
    const line = cutTo(this.#maxBytes, this.#begun.toString());
    this.#begun = NOTHING;
    return `${line}\n`;
  }

  #begin(bytes: Uint8Array): void {
    // One byte more than the limit is kept, as a sign that the line was longer.
    const room = this.#maxBytes + 1 - this.#begun.byteLength;
    if (bytes.byteLength > 0 && room > 0) {
      this.#begun = Buffer.concat([this.#begun, bytes.subarray(0, room)]);
    }
  }
}

function newlinesIn(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (byte === NEWLINE) count++;
  return count;
}
