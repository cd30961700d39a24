import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const SAMPLE_EVERY_MS = 20;

/** Memory of a process, in MiB. */
export interface Resident {
  readonly total: number;
  readonly anonymous: number;
  readonly file: number;
  /** The maximum so far. */
  readonly peak: number;
}

/** The maximum of each until `until` resolves. */
export async function watch(pid: number, until: Promise<void>): Promise<Resident> {
  let most: Resident = { total: 0, anonymous: 0, file: 0, peak: 0 };
  const ended = until.then(() => true);
  for (let done = false; !done; ) {
    const now = await resident(pid);
    most = {
      total: Math.max(most.total, now.total),
      anonymous: Math.max(most.anonymous, now.anonymous),
      file: Math.max(most.file, now.file),
      peak: Math.max(most.peak, now.peak),
    };
    done = await Promise.race([ended, sleep(SAMPLE_EVERY_MS, false)]);
  }
  return most;
}

/** From /proc/PID/status. */
export async function resident(pid: number): Promise<Resident> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 'NaN') / 1024;
  return {
    total: field('VmRSS'),
    anonymous: field('RssAnon'),
    file: field('RssFile'),
    peak: field('VmHWM'),
  };
}

/** Bytes that a process has passed to write(2) and similar calls so far, whatever the file: `wchar` of /proc/PID/io. */
export async function bytesWritten(pid: number): Promise<number> {
  const io = await readFile(`/proc/${pid}/io`, 'utf8');
  return Number(/^wchar: (\d+)$/m.exec(io)?.[1] ?? 'NaN');
}
