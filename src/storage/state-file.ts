import type { StoredContent } from './content.ts';

/**
 * An ordinary file of the state directory: a gradient, a scratch file. Sparse where nothing was written. It is made when it is first
 * written to, so that looking at it leaves nothing behind.
 */
export class StateFile implements StoredContent {
  readonly kind = 'stored';
  readonly maxSize: number;

  /** `make` opens or makes the file for reading and writing; `size` is what it has already. */
  constructor(_make: () => Promise<import('node:fs/promises').FileHandle>, _size: number, maxSize: number) {
    this.maxSize = maxSize;
    throw new Error('to be built');
  }

  size(): number {
    throw new Error('to be built');
  }

  read(_offset: number, _length: number): Promise<Uint8Array> {
    throw new Error('to be built');
  }

  /** Throws ENOSPC, ERR_MLFS_IO. */
  write(_offset: number, _bytes: Uint8Array): Promise<void> {
    throw new Error('to be built');
  }

  truncate(_size: number): Promise<void> {
    throw new Error('to be built');
  }

  sync(): Promise<void> {
    throw new Error('to be built');
  }

  close(): Promise<void> {
    throw new Error('to be built');
  }
}
