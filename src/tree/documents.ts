/** Documents that MLFS itself writes into a mount. */
import type { Content, RenderedContent } from '../storage/content.ts';
import type { FileDescription } from './inode-table.ts';

/** A small text that is there from the start. */
export function textFile(text: () => string): FileDescription {
  return { content: () => inlineContent(Buffer.from(text())) };
}

/**
 * A text that may be megabytes: rendered when somebody first asks for its size or its bytes, and given up again when
 * memory is wanted. `text` must give the same string every time.
 */
export function documentFile(text: () => string): FileDescription {
  return { content: () => new DocumentContent(text) };
}

function inlineContent(bytes: Uint8Array): Content {
  return {
    kind: 'extents',
    size: bytes.byteLength,
    extents: bytes.byteLength === 0 ? [] : [{ kind: 'inline', bytes }],
  };
}

class DocumentContent implements RenderedContent {
  readonly kind = 'rendered';
  readonly #text: () => string;
  #bytes: WeakRef<Buffer> | undefined;
  #size: number | undefined;

  constructor(text: () => string) {
    this.#text = text;
  }

  get size(): number {
    this.#size ??= this.#render().byteLength;
    return this.#size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.#render().subarray(offset, offset + length);
  }

  #render(): Buffer {
    const kept = this.#bytes?.deref();
    if (kept !== undefined) return kept;
    const bytes = Buffer.from(this.#text());
    this.#bytes = new WeakRef(bytes);
    return bytes;
  }
}
