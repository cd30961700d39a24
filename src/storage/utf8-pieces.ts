/** Characters that are encoded at once. */
const PIECE = 64 * 1024;

/** A long text as it grows, in UTF-8: pieces outside of the JavaScript heap, each encoded when it is long enough. */
export class Utf8Pieces {
  readonly #pieces: Buffer[] = [];
  #text = '';
  #bytes = 0;

  /** Of all pieces; what was added last may be missing before the end. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whole characters: a surrogate pair is not split between two. */
  add(text: string): void {
    this.#text += text;
    if (this.#text.length >= PIECE) this.#encode();
  }

  /** The pieces, each of which has bytes. */
  end(): readonly Buffer[] {
    this.#encode();
    return this.#pieces;
  }

  #encode(): void {
    if (this.#text === '') return;
    const piece = Buffer.from(this.#text);
    this.#text = '';
    this.#bytes += piece.byteLength;
    this.#pieces.push(piece);
  }
}
