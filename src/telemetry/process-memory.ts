/** The memory of this process, without a descriptor at the time of asking: a server that has none left must still tell its metrics. */
import { openSync, readSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';

export interface ProcessMemory {
  /** Resident set; 0 where it cannot be told. */
  readonly residentBytes: number;
  readonly heapBytes: number;
  /** Buffers and whatever else JavaScript holds outside its heap. */
  readonly externalBytes: number;
}

/** /proc/self/status, open from the first question to the end of the process. */
let status: number | undefined;
const buffer = Buffer.alloc(8192);

export function processMemory(): ProcessMemory {
  const { used_heap_size: heapBytes, external_memory: externalBytes } = getHeapStatistics();
  return { residentBytes: residentBytes(), heapBytes, externalBytes };
}

/** Of the resident set; 0 where it cannot be told. */
export function residentBytes(): number {
  try {
    status ??= openSync('/proc/self/status', 'r');
    const text = buffer.toString('latin1', 0, readSync(status, buffer, 0, buffer.length, 0));
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
