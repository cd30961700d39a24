import type { RenderedContent } from './content.ts';
import { type DeflatedRun, PageInflater } from './page-inflater.ts';
import { equalPages, type RenderedPages, readPaged } from './rendered-pages.ts';

const PAGE_BYTES = 256 * 1024;

/**
 * The inflated bytes of a deflated run, through the rendered pages. A sequential read continues the running inflater; a page before it that
 * the cache has dropped starts a new pass. Any number of readers may read at once: one inflates, the others wait for their page.
 */
export class InflatedContent implements RenderedContent {
  readonly kind = 'rendered';
  readonly size: number;
  readonly #run: DeflatedRun;
  readonly #cache: RenderedPages;
  readonly #content: number;
  /** Tail of the queue of callers that want to inflate. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(run: DeflatedRun, cache: RenderedPages) {
    this.size = run.length;
    this.#run = run;
    this.#cache = cache;
    this.#content = cache.newContent();
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    const end = Math.min(this.size, offset + length);
    return readPaged(offset, end, equalPages(PAGE_BYTES, this.size), ({ index }) =>
      this.#cache.get(this.#content, index, () => this.#inTurn(() => this.#inflateTo(index))),
    );
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(task);
    // Only its own reader gets the failure; the next in the queue starts a new pass.
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #inflateTo(page: number): Promise<Uint8Array> {
    const passed = this.#cache.peek(this.#content, page);
    if (passed !== undefined) return passed;
    const inflater = this.#inflaterBefore(page);
    try {
      while (inflater.nextPage < page) {
        const index = inflater.nextPage;
        this.#cache.put(this.#content, index, await inflater.next());
      }
      const bytes = await inflater.next();
      if (inflater.nextPage * PAGE_BYTES < this.size) this.#cache.streams.park(this, inflater);
      else inflater.close();
      return bytes;
    } catch (cause) {
      inflater.close();
      throw cause;
    }
  }

  #inflaterBefore(page: number): PageInflater {
    const parked = this.#cache.streams.take(this);
    if (parked instanceof PageInflater && parked.nextPage <= page) return parked;
    parked?.close();
    return new PageInflater(this.#run, PAGE_BYTES);
  }
}
