import * as fs from 'node:fs';
import { promisify } from 'node:util';
import type { NewTime } from '../fuse/filesystem.ts';
import { loadNative } from '../storage/native.ts';

/** utimensat(2)'s values for "now" and "do not change" in the field for nanoseconds. */
const UTIME_NOW = 2 ** 30 - 1;
const UTIME_OMIT = 2 ** 30 - 2;
const NANOSECONDS = 1_000_000_000n;
/** The largest number of seconds that a double represents exactly; no file system stores more. */
const MOST_SECONDS = BigInt(Number.MAX_SAFE_INTEGER);

const utimes = promisify(fs.utimes);

/** Times to set; an absent one does not change. */
export interface NewTimes {
  readonly atime?: NewTime | undefined;
  readonly mtime?: NewTime | undefined;
}

/**
 * Sets the times of the file behind a descriptor (also of an O_PATH descriptor): in nanoseconds with the native addon. Node alone takes
 * seconds as a double, which are off by a few hundred nanoseconds, and sets both times. Rejects with an Error with `errno` or `code`.
 */
export async function setFileTimes(fd: number, times: NewTimes, stat: () => fs.BigIntStats): Promise<void> {
  const native = loadNative();
  if (native === undefined) return roundedTimes(fd, times, stat());
  const { atime, mtime } = times;
  await native.setTimes(fd, ...secondsAndNanoseconds(atime), ...secondsAndNanoseconds(mtime));
}

/** Exported for its test: the way without the addon. */
export function roundedTimes(fd: number, { atime, mtime }: NewTimes, stat: fs.BigIntStats): Promise<void> {
  return utimes(`/proc/self/fd/${fd}`, seconds(atime ?? stat.atimeNs), seconds(mtime ?? stat.mtimeNs));
}

/** As a string, because Node takes a negative number for the time of its clock. */
function seconds(time: NewTime): string {
  return String(time === 'now' ? Date.now() / 1000 : Number(time) / 1e9);
}

function secondsAndNanoseconds(time: NewTime | undefined): [seconds: number, nanoseconds: number] {
  if (time === undefined) return [0, UTIME_OMIT];
  if (time === 'now') return [0, UTIME_NOW];
  const within = ((time % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  const whole = (time - within) / NANOSECONDS;
  const kept = whole > MOST_SECONDS ? MOST_SECONDS : whole < -MOST_SECONDS ? -MOST_SECONDS : whole;
  return [Number(kept), Number(within)];
}
