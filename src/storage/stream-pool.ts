import { LRUCache } from 'lru-cache';

export interface PooledStream {
  close(): void;
}

/** Maximum number of open inflaters; the least recently used one is closed. Each takes some 300 KiB (window, chunks in flight). */
const OPEN_STREAMS = 16;

/** Idle decoders, each positioned for its next sequential read. */
export class StreamPool {
  readonly #idle = new LRUCache<object, PooledStream>({
    max: OPEN_STREAMS,
    dispose: (stream, _owner, reason) => {
      if (reason === 'evict') stream.close();
    },
  });

  /** Gives the owner its stream for exclusive use. */
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
