import { output, WRITER } from './programs.ts';

/** How the writing client writes. Sizes in bytes. */
export interface WritePlan {
  readonly mode: 'seq' | 'random';
  readonly path: string;
  /** Further files that are written at the same time, by a process each. */
  readonly others?: readonly string[];
  readonly offset: number;
  readonly length: number;
  /** Default 1 MiB, or 4 KiB for random writes. */
  readonly block?: number;
  /** Maximum number of writes. */
  readonly count?: number;
  /** Determines the bytes, and the order of a random pass. */
  readonly seed?: number;
  /** fsync before the close, or also fdatasync after this many writes; none if absent. */
  readonly sync?: 'end' | number;
  /** Stores into a shared mapping instead of calling pwrite. */
  readonly mapped?: boolean;
  /** Replaces every byte by its complement, so that every byte differs. */
  readonly invert?: boolean;
}

export interface WriteResult {
  readonly bytes: number;
  readonly writes: number;
  readonly syncs: number;
  /** From before the open to after the close; of several files until the last is closed. */
  readonly seconds: number;
}

/** Writes in a separate process, which is never the server. */
export async function write(plan: WritePlan): Promise<WriteResult> {
  const args = [plan.mode, plan.path, ...(plan.others ?? [])];
  const { offset, length, block, count, seed, sync } = plan;
  for (const [name, value] of Object.entries({ offset, length, block, count, seed, sync })) {
    if (value !== undefined) args.push(`--${name}`, String(value));
  }
  if (plan.invert) args.push('--invert');
  if (plan.mapped) args.push('--mapped');
  return JSON.parse(await output(WRITER, args)) as WriteResult;
}

let seed = 0;

/** A plain file is not new, so each pass writes different bytes than the ones before: no two calls return the same seed. */
export function nextSeed(): number {
  seed++;
  return seed;
}

export function gigabytesWrittenPerSecond({ bytes, seconds }: WriteResult): number {
  return bytes / seconds / 1e9;
}

export function writesPerSecond({ writes, seconds }: WriteResult): number {
  return writes / seconds;
}
