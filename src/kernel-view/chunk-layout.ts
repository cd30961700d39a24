/**
 * How a file of the image is cut into chunks. All chunks of a file have one size, a power of two, and an index of 8 bytes each.
 *
 * A file that lies on its devices as a whole has the largest chunks. A file that reaches the end of the checkpoint has smaller ones: a block
 * device has whole sectors and is read by pages, so the bytes behind its last whole page cannot be read through it, and the chunks that
 * hold them are copied into the image. Large chunks make a large copy and small ones many indexes: the size with the smallest sum is taken.
 * Then the copy has at most 72 KiB, or 6 bytes × the square root of the file's length where that is more: 6 MiB of 1 TiB.
 */
import { INDEX_BYTES } from './erofs-format.ts';
import { BLOCK_BITS, WINDOW_BYTES } from './shifted-devices.ts';

export const PAGE_BYTES = 4096;
/** Chunks of 4 to 16 KiB made the first pass over 64 MiB take a third longer than larger ones. */
const LEAST_CHUNK_BITS = 16;

export class ChunkLayout {
  readonly blockBits: number;
  readonly #fileBytes: number;

  /** `fileBytes`: the checkpoint's size. `blockBits`: the size of a block as a power of two, at most a page. */
  constructor(fileBytes: number, blockBits: number = BLOCK_BITS) {
    this.#fileBytes = fileBytes;
    this.blockBits = blockBits;
  }

  /** Whether the last bytes of a range cannot be read through a device. */
  reachesEnd(offset: number, length: number): boolean {
    // Most ranges end far from there.
    if (offset + length <= this.#fileBytes - 2 * PAGE_BYTES) return false;
    return offset + length > this.#readableEnd(offset);
  }

  /** Size of a chunk in blocks, as a power of two. No chunk is larger than a window. */
  chunkBits(offset: number, length: number): number {
    const whole = bitsToHold(Math.ceil(length / 2 ** this.blockBits));
    const most = Math.min(whole, Math.log2(WINDOW_BYTES) - this.blockBits);
    if (!this.reachesEnd(offset, length)) return most;
    let best = Math.max(Math.log2(PAGE_BYTES) - this.blockBits, most);
    for (let bits = LEAST_CHUNK_BITS - this.blockBits; bits < most; bits++) {
      if (this.#bytesFor(offset, length, bits) < this.#bytesFor(offset, length, best)) best = bits;
    }
    return best;
  }

  /** Where in the file the copied chunks begin: at its length if there is none. */
  copiedFrom(offset: number, length: number, chunkBits: number): number {
    if (!this.reachesEnd(offset, length)) return length;
    const chunkBytes = 2 ** (chunkBits + this.blockBits);
    return Math.floor(Math.max(0, this.#readableEnd(offset) - offset) / chunkBytes) * chunkBytes;
  }

  /** Bytes of the image that a range takes, without its inode and its name. */
  imageBytes(offset: number, length: number): number {
    return this.#bytesFor(offset, length, this.chunkBits(offset, length));
  }

  #bytesFor(offset: number, length: number, chunkBits: number): number {
    const chunks = Math.ceil(length / 2 ** (chunkBits + this.blockBits));
    const copied = length - this.copiedFrom(offset, length, chunkBits);
    return chunks * INDEX_BYTES + roundUp(copied, PAGE_BYTES);
  }

  /** The end of the last whole page of a device that begins at the residue of `offset`. Windows are whole pages, so all its devices agree. */
  #readableEnd(offset: number): number {
    const blockBytes = 2 ** this.blockBits;
    const residue = offset - Math.floor(offset / blockBytes) * blockBytes;
    return residue + Math.floor((this.#fileBytes - residue) / PAGE_BYTES) * PAGE_BYTES;
  }
}

/** The smallest power of two, as its exponent, that is at least `count`. */
function bitsToHold(count: number): number {
  return count <= 2 ** 31 ? (count <= 1 ? 0 : 32 - Math.clz32(count - 1)) : Math.ceil(Math.log2(count));
}

export function roundUp(number: number, unit: number): number {
  return Math.ceil(number / unit) * unit;
}
