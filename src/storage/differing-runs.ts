/** A run of bytes, end excluded. */
export interface Run {
  readonly start: number;
  readonly end: number;
}

/** Bytes that are compared at once before a difference is searched byte by byte. */
const BLOCK_BYTES = 4096;

/**
 * Where two byte strings of equal length differ: ascending runs that begin and end with a differing byte. Equal stretches of up to `gap`
 * bytes stay inside a run.
 */
export function differingRuns(before: Uint8Array, after: Uint8Array, gap: number): Run[] {
  const runs: Run[] = [];
  const length = after.byteLength;
  let start = nextDifference(before, after, 0);
  while (start < length) {
    let last = start;
    for (;;) {
      // Looking back from its far end finds a stretch of more than `gap` equal bytes after `last`.
      let probe = Math.min(length - 1, last + gap + 1);
      while (probe > last && before[probe] === after[probe]) probe--;
      if (probe === last) break;
      last = probe;
    }
    runs.push({ start, end: last + 1 });
    start = nextDifference(before, after, last + 1);
  }
  return runs;
}

/** The first differing position from `from` on, or the length. */
function nextDifference(before: Uint8Array, after: Uint8Array, from: number): number {
  const length = after.byteLength;
  for (let at = from; at < length; ) {
    const end = Math.min(length, at + BLOCK_BYTES);
    if (Buffer.compare(before.subarray(at, end), after.subarray(at, end)) !== 0) {
      while (before[at] === after[at]) at++;
      return at;
    }
    at = end;
  }
  return length;
}
