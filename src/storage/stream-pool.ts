import { LRUCache } from 'lru-cache';

export interface PooledStream {
  close(): void;
}

/** An inflater holds some 300 KiB (window, chunks in flight); beyond this many the longest unused one is closed. */
const OPEN_STREAMS = 16;

/** Decoders that nobody reads from at the moment, each in the place its next sequential read will want. */
export class StreamPool {
  readonly #idle = new LRUCache<object, PooledStream>({
    max: OPEN_STREAMS,
    dispose: (stream, _owner, reason) => {
      if (reason === 'evict') stream.close();
    },
  });

  /** Hands the owner its stream back for exclusive use. */
  take(owner: object): PooledStream | undefined {
    const stream = this.#idle.get(owner);
    this.#idle.delete(owner);
    return stream;
  }

  park(owner: object, stream: PooledStream): void {
    this.#idle.set(owner, stream);
  }

  get size(): number {
    return this.#idle.size;
  }

  close(): void {
    for (const stream of this.#idle.values()) stream.close();
    this.#idle.clear();
  }
}
