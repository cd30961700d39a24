import { readFileSync } from 'node:fs';

/**
 * Bytes that a process made the kernel fetch from block devices so far (`read_bytes` of /proc/PID/io); undefined where the
 * kernel does not count them or does not let us look.
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
