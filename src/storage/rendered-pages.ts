/**
 * The rendered pages, least recently used first to go: bytes that the kernel cannot cache for us before they exist, such as inflated entries
 * and gathers of strided tensors. Bounded in bytes. A page belongs to a content (a number this cache hands out) and has an index; how large pages
 * are is the content's own choice, so that a transposed matrix can be rendered in tiles.
 *
 * Invariants: a page is loaded by one loader at a time, however many ask for it; pages are never modified once they are
 * in; what was loading while its content was forgotten does not come back.
 */
import { LRUCache } from 'lru-cache';
import { StreamPool } from './stream-pool.ts';

export interface RenderedPagesCounters {
  /** Pages that were there, or that somebody else was already loading. */
  readonly hits: number;
  readonly misses: number;
  readonly evictions: number;
  /** Held now. */
  readonly bytes: number;
  readonly pages: number;
  readonly maxBytes: number;
}

export const DEFAULT_RENDERED_PAGES_BYTES = 256 * 1024 * 1024;

export class RenderedPages {
  /** Decoders kept open between reads, so that reading on continues instead of starting over. */
  readonly streams = new StreamPool();
  readonly #maxBytes: number;
  readonly #pages: LRUCache<string, Uint8Array>;
  readonly #loading = new Map<string, Promise<Uint8Array>>();
  #nextContent = 1;
  #hits = 0;
  #misses = 0;
  #evictions = 0;

  constructor(maxBytes: number = DEFAULT_RENDERED_PAGES_BYTES) {
    this.#maxBytes = maxBytes;
    this.#pages = new LRUCache({
      maxSize: Math.max(1, maxBytes),
      sizeCalculation: (page) => Math.max(1, page.byteLength),
      dispose: (_page, _key, reason) => {
        if (reason === 'evict') this.#evictions++;
      },
    });
  }

  get counters(): RenderedPagesCounters {
    return {
      hits: this.#hits,
      misses: this.#misses,
      evictions: this.#evictions,
      bytes: this.#pages.calculatedSize,
      pages: this.#pages.size,
      maxBytes: this.#maxBytes,
    };
  }

  /** A content's name in this cache. */
  newContent(): number {
    return this.#nextContent++;
  }

  /** The page, if it is here; counts nothing. */
  peek(content: number, page: number): Uint8Array | undefined {
    return this.#pages.get(keyOf(content, page));
  }

  /** Keeps a page that came up on the way to another. `bytes` must own its memory and not change any more. */
  put(content: number, page: number, bytes: Uint8Array): void {
    this.#pages.set(keyOf(content, page), bytes);
  }

  /** The page from memory, or loaded once for everybody who asks meanwhile. A failed load is not remembered. */
  get(content: number, page: number, load: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const key = keyOf(content, page);
    const cached = this.#pages.get(key);
    if (cached !== undefined) {
      this.#hits++;
      return Promise.resolve(cached);
    }
    const underWay = this.#loading.get(key);
    if (underWay !== undefined) {
      this.#hits++;
      return underWay;
    }
    this.#misses++;
    const loading: Promise<Uint8Array> = load().then(
      (bytes) => {
        if (this.#loading.get(key) === loading) {
          this.#loading.delete(key);
          this.#pages.set(key, bytes);
        }
        return bytes;
      },
      (cause: unknown) => {
        if (this.#loading.get(key) === loading) this.#loading.delete(key);
        throw cause;
      },
    );
    this.#loading.set(key, loading);
    return loading;
  }

  /** Drops every page of a content, also those under way. */
  forget(content: number): void {
    const prefix = keyOf(content, '');
    for (const key of [...this.#pages.keys()]) if (key.startsWith(prefix)) this.#pages.delete(key);
    for (const key of [...this.#loading.keys()]) if (key.startsWith(prefix)) this.#loading.delete(key);
  }
}

function keyOf(content: number, page: number | ''): string {
  return `${content}:${page}`;
}

/** Where a page lies in its content, in bytes. */
export interface PageSpan {
  readonly index: number;
  readonly start: number;
  readonly end: number;
}

/** The spans of pages that are all equally long but the last. */
export function equalPages(pageBytes: number, size: number): (offset: number) => PageSpan {
  return (offset) => {
    const index = Math.floor(offset / pageBytes);
    return { index, start: index * pageBytes, end: Math.min(size, (index + 1) * pageBytes) };
  };
}

/**
 * The bytes [offset, end) of a content that is cut into pages. A read within one page is a view of it: do not write to what is
 * returned.
 */
export async function readPaged(
  offset: number,
  end: number,
  pageAt: (offset: number) => PageSpan,
  load: (span: PageSpan) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  if (offset >= end) return new Uint8Array(0);
  const first = pageAt(offset);
  if (end <= first.end) return (await load(first)).subarray(offset - first.start, end - first.start);
  const result = Buffer.allocUnsafe(end - offset);
  for (let at = offset; at < end; ) {
    const span = at === offset ? first : pageAt(at);
    const bytes = await load(span);
    const upTo = Math.min(end, span.end);
    result.set(bytes.subarray(at - span.start, upTo - span.start), at - offset);
    at = upTo;
  }
  return result;
}
