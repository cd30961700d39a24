/**
 * The rendered pages, an LRU cache: bytes that the kernel cannot cache for us because they must be computed, such as inflated entries and
 * gathers of strided tensors. Bounded in bytes. A page belongs to a content (a number that this cache gives out) and has an index. Each
 * content chooses its page size, so that a transposed matrix can be rendered in tiles.
 *
 * Invariants: each page is loaded by one loader at a time, however many callers ask for it; cached pages are never modified; a page whose
 * content was forgotten while it was loading is not cached.
 */
import { LRUCache } from 'lru-cache';
import { StreamPool } from './stream-pool.ts';

export interface RenderedPagesCounters {
  /** Pages that were cached, or that another caller was already loading. */
  readonly hits: number;
  readonly misses: number;
  readonly evictions: number;
  /** Bytes held now. */
  readonly bytes: number;
  readonly pages: number;
  readonly maxBytes: number;
}

export const DEFAULT_RENDERED_PAGES_BYTES = 256 * 1024 * 1024;

export class RenderedPages {
  /** Decoders kept open between reads, so that a sequential read continues instead of starting over. */
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

  /** Gives out the number of a content in this cache. */
  newContent(): number {
    return this.#nextContent++;
  }

  /** The page, if it is cached; does not count as a hit or miss. */
  peek(content: number, page: number): Uint8Array | undefined {
    return this.#pages.get(keyOf(content, page));
  }

  /** Caches a page that was computed on the way to another. `bytes` must own its memory and never change. */
  put(content: number, page: number, bytes: Uint8Array): void {
    this.#pages.set(keyOf(content, page), bytes);
  }

  /** The cached page, or one that is loaded once for all concurrent callers. A failed load is not remembered. */
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
    // The load begins when it is known as under way, because its first step may forget the content.
    const begun = Promise.resolve().then(load);
    const loading: Promise<Uint8Array> = begun.then(
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

  /** Drops every page of a content, including those being loaded. */
  forget(content: number): void {
    const prefix = keyOf(content, '');
    for (const key of [...this.#pages.keys()]) if (key.startsWith(prefix)) this.#pages.delete(key);
    for (const key of [...this.#loading.keys()]) if (key.startsWith(prefix)) this.#loading.delete(key);
  }
}

function keyOf(content: number, page: number | ''): string {
  return `${content}:${page}`;
}

/** Position of a page in its content, in bytes. */
export interface PageSpan {
  readonly index: number;
  readonly start: number;
  readonly end: number;
}

/** The spans of pages that are all equally long except the last. */
export function equalPages(pageBytes: number, size: number): (offset: number) => PageSpan {
  return (offset) => {
    const index = Math.floor(offset / pageBytes);
    return { index, start: index * pageBytes, end: Math.min(size, (index + 1) * pageBytes) };
  };
}

/** The bytes [offset, end) of a content that is cut into pages. A read within one page returns a view of it: do not write to the result. */
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
