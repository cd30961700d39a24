/** Number of characters that are encoded at once. */
const PIECE = 64 * 1024;

/** A growing long text in UTF-8, in pieces outside of the JavaScript heap. Each piece is encoded when it is long enough. */
export class Utf8Pieces {
  readonly #pieces: Buffer[] = [];
  #text = '';
  #bytes = 0;

  /** Bytes of all encoded pieces; the latest additions may be missing before the end. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Appends whole characters: a surrogate pair is not split between two calls. */
  add(text: string): void {
    this.#text += text;
    if (this.#text.length >= PIECE) this.#encode();
  }

  /** The pieces; none is empty. */
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
