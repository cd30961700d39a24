/** The memory of this process, read without opening a descriptor: a server that has none left must still report its metrics. */
import { openSync, readSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';

export interface ProcessMemory {
  /** Resident set, in bytes; 0 if it is unknown. */
  readonly residentBytes: number;
  readonly heapBytes: number;
  /** Buffers and other memory that JavaScript holds outside its heap, in bytes. */
  readonly externalBytes: number;
}

/** /proc/self/status, kept open from the first call to the end of the process. */
let status: number | undefined;
const buffer = Buffer.alloc(8192);

export function processMemory(): ProcessMemory {
  const { used_heap_size: heapBytes, external_memory: externalBytes } = getHeapStatistics();
  return { residentBytes: residentBytes(), heapBytes, externalBytes };
}

/** The bytes of the resident set; 0 if they are unknown. */
export function residentBytes(): number {
  try {
    status ??= openSync('/proc/self/status', 'r');
    const text = buffer.toString('latin1', 0, readSync(status, buffer, 0, buffer.length, 0));
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
