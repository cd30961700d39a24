import type { InodeTree } from '../inode.ts';
import type { Statfs } from './filesystem.ts';
import { NAME_MAX } from './protocol/request.ts';

const STATFS_BLOCK = 4096;
/** One of the transports has 32 bits for a number of blocks; a larger file system gets larger blocks. */
const MOST_BLOCKS = 2 ** 32;

/** The used space is the tensors' bytes; the free space is what edits may still take. */
export function statfsOf({ totalBytes, inodeCount }: InodeTree, freeBytes: number): Statfs {
  let blockSize = STATFS_BLOCK;
  while ((totalBytes + freeBytes) / blockSize >= MOST_BLOCKS) blockSize *= 2;
  const free = Math.floor(freeBytes / blockSize);
  return {
    blockSize,
    blocks: Math.ceil(totalBytes / blockSize) + free,
    blocksFree: free,
    blocksAvailable: free,
    files: inodeCount,
    filesFree: 0,
    nameMax: NAME_MAX,
  };
}
