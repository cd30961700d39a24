/**
 * Where the devices of an image begin. A file system's blocks are aligned, and tensors are not: so a range that begins at byte `offset` lies
 * on a device that is the checkpoint from byte `deviceBegin(offset)` on, and begins there at a whole block. Block numbers have 32 bits, that is
 * 2 TiB of blocks of 512 bytes, so a range has a device for each TiB of its own bytes, too.
 */

/** The smallest block of EROFS, and of a loop device. */
export const BLOCK_BITS = 9;

/** 1 TiB. What begins in one window, and has no more bytes than a window, ends within 2 TiB of the device's beginning. */
export const WINDOW_BYTES = 2 ** 40;

export function deviceBegin(offset: number, blockBits: number): number {
  const blockBytes = 2 ** blockBits;
  // The operator % is slow for numbers beyond 32 bits.
  const residue = offset - Math.floor(offset / blockBytes) * blockBytes;
  return Math.floor(offset / WINDOW_BYTES) * WINDOW_BYTES + residue;
}
