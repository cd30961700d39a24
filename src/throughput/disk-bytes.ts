import { readFileSync } from 'node:fs';

/**
 * Bytes that the kernel has read from block devices on behalf of a process (`read_bytes` of /proc/PID/io); undefined where the kernel does not
 * count them or does not permit reading the count.
 */
export function diskBytesOf(pid: number | 'self'): number | undefined {
  try {
    const match = /^read_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'));
    return match ? Number(match[1]) : undefined;
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause) return undefined;
    throw cause;
  }
}
