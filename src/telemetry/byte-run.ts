import type { LiveContent } from '../storage/content.ts';

/** Size of a chunk: small compared with a log, large compared with a line. */
const CHUNK_BYTES = 64 * 1024;

/**
 * Bytes in memory that only grow, read as a file. They are stored in chunks, and not in a buffer for each added text, so that many short
 * texts take no more memory than their bytes.
 */
export class ByteRun implements LiveContent {
  readonly kind = 'live';
  /** All chunks but the last are full. */
  #chunks: Buffer[] = [];
  #bytes = 0;
  #changedMs = Date.now();

  /** `byteLength` is the length of the text in UTF-8. */
  add(text: string, byteLength: number): void {
    this.#changed();
    const used = this.#bytes % CHUNK_BYTES;
    const last = this.#chunks.at(-1);
    if (last !== undefined && used > 0 && used + byteLength <= CHUNK_BYTES) {
      last.write(text, used);
      this.#bytes += byteLength;
      return;
    }
    this.#addBytes(Buffer.from(text));
  }

  /** Takes over the bytes of the other run, which is empty afterwards. */
  takeAll(other: ByteRun): void {
    this.#chunks = other.#chunks;
    this.#bytes = other.#bytes;
    other.#chunks = [];
    other.#bytes = 0;
    this.#changed();
    other.#changed();
  }

  size(): number {
    return this.#bytes;
  }

  changedMs(): number {
    return this.#changedMs;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const end = Math.min(this.#bytes, offset + length);
    const parts: Buffer[] = [];
    for (let at = offset; at < end; ) {
      const from = at % CHUNK_BYTES;
      const chunk = this.#chunks[Math.floor(at / CHUNK_BYTES)] as Buffer;
      const part = chunk.subarray(from, Math.min(CHUNK_BYTES, from + end - at));
      parts.push(part);
      at += part.byteLength;
    }
    return Buffer.concat(parts);
  }

  /** Later with every change: one of the transports tells old pages by a file's time and size. */
  #changed(): void {
    this.#changedMs = Math.max(Date.now(), this.#changedMs + 1);
  }

  #addBytes(bytes: Buffer): void {
    for (let at = 0; at < bytes.byteLength; ) {
      const used = this.#bytes % CHUNK_BYTES;
      if (used === 0) this.#chunks.push(Buffer.allocUnsafeSlow(CHUNK_BYTES));
      const chunk = this.#chunks.at(-1) as Buffer;
      const count = bytes.copy(chunk, used, at);
      this.#bytes += count;
      at += count;
    }
  }
}
