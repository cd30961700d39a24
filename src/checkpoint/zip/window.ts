import type { ByteSource } from '../../storage/byte-source.ts';

/** A range of a byte source as a source of its own, for an archive inside an archive. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export class WindowSource implements ByteSource {
  readonly path: string;
  readonly size: number;
  readonly readNow?: (offset: number, length: number) => Buffer;
  readonly #source: ByteSource;
  readonly #base: number;

  constructor(source: ByteSource, range: ByteRange) {
    this.path = source.path;
    this.size = range.length;
    this.#source = source;
    this.#base = range.offset;
    const readNow = source.readNow?.bind(source);
    if (readNow !== undefined) this.readNow = (offset, length) => readNow(range.offset + offset, length);
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#source.read(this.#base + offset, length);
  }
}
