import { pipeline, Readable } from 'node:stream';
import { createInflateRaw } from 'node:zlib';
import { MlfsError, messageOf } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { crc32 } from './crc32.ts';
import type { PooledStream } from './stream-pool.ts';

/** A raw deflate stream in a source, and what must come out of it. */
export interface DeflatedRun {
  readonly image: ByteSource;
  readonly offset: number;
  readonly compressedLength: number;
  readonly length: number;
  /** CRC of the inflated bytes; checked when a pass from the start reaches the end. */
  readonly crc32?: number;
}

const COMPRESSED_CHUNK = 64 * 1024;

/**
 * One pass over a deflated run, page after page. Inflating happens on libuv's threads. Between two pages the stream pauses with a few
 * chunks in memory, so a run of any length costs the same memory.
 */
export class PageInflater implements PooledStream {
  /** Index of the page that next() returns. */
  nextPage = 0;
  readonly #run: DeflatedRun;
  readonly #pageBytes: number;
  readonly #inflate: ReturnType<typeof createInflateRaw>;
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);
  #crc = 0;

  constructor(run: DeflatedRun, pageBytes: number) {
    this.#run = run;
    this.#pageBytes = pageBytes;
    this.#inflate = createInflateRaw({ chunkSize: COMPRESSED_CHUNK });
    // A failure destroys the inflater with its cause, and later reads throw that.
    pipeline(Readable.from(compressedChunks(run), { objectMode: false }), this.#inflate, () => {});
    this.#chunks = this.#inflate[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /** The next page: pageBytes long, or what is left. Throws ERR_MLFS_ZIP or ERR_MLFS_CRC; must not be used after that. */
  async next(): Promise<Uint8Array> {
    const start = this.nextPage * this.#pageBytes;
    const page = Buffer.allocUnsafeSlow(Math.min(this.#pageBytes, this.#run.length - start));
    let filled = 0;
    while (filled < page.length) {
      if (this.#rest.length === 0 && !(await this.#pull())) {
        throw this.#error('ERR_MLFS_ZIP', `ends after ${start + filled} of ${this.#run.length} bytes`);
      }
      const take = Math.min(this.#rest.length, page.length - filled);
      page.set(this.#rest.subarray(0, take), filled);
      this.#rest = this.#rest.subarray(take);
      filled += take;
    }
    this.nextPage++;
    this.#crc = crc32(page, this.#crc);
    if (start + filled === this.#run.length) await this.#checkEnd();
    return page;
  }

  close(): void {
    this.#inflate.destroy();
  }

  async #checkEnd(): Promise<void> {
    if (this.#rest.length > 0 || (await this.#pull())) {
      throw this.#error('ERR_MLFS_ZIP', `goes on after the ${this.#run.length} bytes that are declared`);
    }
    const expected = this.#run.crc32;
    if (expected !== undefined && expected !== this.#crc) {
      throw this.#error(
        'ERR_MLFS_CRC',
        `has CRC-32 0x${this.#crc.toString(16)}, the archive says 0x${expected.toString(16)}`,
      );
    }
  }

  /** Gets the next non-empty chunk into #rest; false at the end. */
  async #pull(): Promise<boolean> {
    try {
      for (;;) {
        const { done, value } = await this.#chunks.next();
        if (done) return false;
        if (value.length === 0) continue;
        this.#rest = value;
        return true;
      }
    } catch (cause) {
      if (cause instanceof MlfsError) throw cause;
      const reason = messageOf(cause);
      throw this.#error('ERR_MLFS_ZIP', `cannot be inflated: ${reason}`, cause);
    }
  }

  #error(code: 'ERR_MLFS_ZIP' | 'ERR_MLFS_CRC', reason: string, cause?: unknown): MlfsError {
    const { image, offset } = this.#run;
    return new MlfsError(code, `${image.path}: the deflated data at byte ${offset} ${reason}`, {
      path: image.path,
      cause,
    });
  }
}

async function* compressedChunks(run: DeflatedRun): AsyncGenerator<Buffer> {
  for (let at = 0; at < run.compressedLength; at += COMPRESSED_CHUNK) {
    yield await run.image.read(run.offset + at, Math.min(COMPRESSED_CHUNK, run.compressedLength - at));
  }
}
