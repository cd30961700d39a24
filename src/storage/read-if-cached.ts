import { loadNative } from './native.ts';

/** Maximum size that is copied on this thread: some 20 microseconds, as much as passing the read to another thread costs. */
const LARGEST_BYTES = 128 * 1024;

/**
 * Copies what is in the page cache into `buffer` without waiting: the number of bytes, 0 when a thread must read because the disk may be
 * needed. Passing a small read to another thread takes ten times as long as the read itself.
 */
export function readIfCached(fd: number, buffer: Uint8Array, offset: number): number {
  if (buffer.byteLength > LARGEST_BYTES) return 0;
  return Math.max(0, loadNative()?.readIfCached(fd, buffer, offset) ?? 0);
}
