import type { ByteSource } from './byte-source.ts';
import type { FileSource } from './file-source.ts';

/**
 * The bytes of one checkpoint file as they are now: base ⊕ overlay. The base is opened read-only and never written
 * through this object. Today the overlay is empty, so an image reads as its base.
 */
export class Image implements ByteSource {
  readonly base: FileSource;

  constructor(base: FileSource) {
    this.base = base;
  }

  get path(): string {
    return this.base.path;
  }

  get size(): number {
    return this.base.size;
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.base.read(offset, length);
  }

  readNow(offset: number, length: number): Buffer {
    return this.base.readNow(offset, length);
  }

  close(): Promise<void> {
    return this.base.close();
  }
}
