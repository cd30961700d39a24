import type { FixedContent, SnapshotContent } from '../storage/content.ts';

/** A value that no edit changes. */
export const UNCHANGING: FixedContent = { kind: 'extents', size: 0, extents: [] };

/** From a listing, which asks for the size, to the open of what was listed. Documents have a bounded size. */
const KEPT_MS = 60_000;

/**
 * A document that is made at the first request, once for all concurrent readers and for those of the next minute. Later its bytes may be
 * dropped, and it is made again.
 */
export class UnchangingDocument implements SnapshotContent {
  readonly kind = 'snapshot';
  readonly source = UNCHANGING;
  readonly #write: () => Promise<Uint8Array>;
  #size: number | undefined;
  #kept: WeakRef<Uint8Array> | undefined;
  /** Keeps the bytes for who lists a folder and then opens its files. */
  #recent: Uint8Array | undefined;
  #making: Promise<Uint8Array> | undefined;

  constructor(write: () => Promise<Uint8Array>) {
    this.#write = write;
  }

  knownSize(): number | undefined {
    return this.#size;
  }

  async make(): Promise<Uint8Array> {
    const kept = this.#kept?.deref();
    if (kept !== undefined) return kept;
    this.#making ??= this.#write().finally(() => {
      this.#making = undefined;
    });
    const bytes = await this.#making;
    this.#size = bytes.byteLength;
    if (this.#kept?.deref() !== bytes) this.#keep(bytes);
    return bytes;
  }

  #keep(bytes: Uint8Array): void {
    this.#kept = new WeakRef(bytes);
    this.#recent = bytes;
    setTimeout(() => {
      if (this.#recent === bytes) this.#recent = undefined;
    }, KEPT_MS).unref();
  }
}
