import type { FixedContent, SnapshotContent } from '../storage/content.ts';

/** A value that no edit changes. */
export const UNCHANGING: FixedContent = { kind: 'extents', size: 0, extents: [] };

/** A document that is made at the first request, once for all concurrent readers, and again after its bytes were dropped. */
export class UnchangingDocument implements SnapshotContent {
  readonly kind = 'snapshot';
  readonly source = UNCHANGING;
  readonly #write: () => Promise<Uint8Array>;
  #size: number | undefined;
  #kept: WeakRef<Uint8Array> | undefined;
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
    this.#kept = new WeakRef(bytes);
    return bytes;
  }
}
