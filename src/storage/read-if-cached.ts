import { loadNative } from './native.ts';

/** What is copied on this thread: some 20 microseconds, as much as handing the read to another thread costs. */
const LARGEST_BYTES = 128 * 1024;

/**
 * Reads what is in the page cache into `buffer`, at once: the number of bytes, 0 when the rest is for a thread that may wait for the disk. A
 * small read that is handed to another thread takes ten times as long as the read itself.
 */
export function readIfCached(fd: number, buffer: Uint8Array, offset: number): number {
  if (buffer.byteLength > LARGEST_BYTES) return 0;
  return Math.max(0, loadNative()?.readIfCached(fd, buffer, offset) ?? 0);
}
