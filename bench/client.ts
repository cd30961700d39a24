import { output, READER } from './programs.ts';

/** How the measuring client reads. Sizes in bytes. */
export interface ReadPlan {
  readonly mode: 'seq' | 'random' | 'mmap' | 'files' | 'evict';
  /** A folder, for the mode `files`. */
  readonly path: string;
  readonly offset?: number;
  readonly length?: number;
  readonly block?: number;
  readonly passes?: number;
  /** Close and open the file again between passes. */
  readonly reopen?: boolean;
  /** O_DIRECT. */
  readonly direct?: boolean;
  /** Maximum number of reads of a random pass. */
  readonly count?: number;
  /** A random pass ends after this time. */
  readonly seconds?: number;
  readonly seed?: number;
  /** Of the mode `files`: a file that names what to open, a path below the folder a line. */
  readonly list?: string;
  /** Count what is read from the disk below this file during the passes. */
  readonly diskOf?: string;
  /** Processors the client may use, as taskset lists them. */
  readonly cpus?: string | undefined;
}

export interface Pass {
  readonly bytes: number;
  readonly reads: number;
  readonly seconds: number;
  /** From the machine's own disk counters; -1 if they do not know the file's device. */
  readonly diskBytes: number;
}

export interface ReadResult {
  /** Share of the range that was in the page cache before the first pass. */
  readonly resident: number;
  /** Of the mode `mmap`: the sum of the little-endian 64-bit words of the range over all passes, modulo 2^64, in hexadecimal. */
  readonly sum?: string;
  readonly passes: readonly Pass[];
}

/** Reads in a separate process, which is never the server. */
export async function read(plan: ReadPlan): Promise<ReadResult> {
  const args: string[] = [plan.mode, plan.path];
  const numbers = {
    offset: plan.offset,
    length: plan.length,
    block: plan.block,
    passes: plan.passes,
    count: plan.count,
    seconds: plan.seconds,
    seed: plan.seed,
  };
  for (const [name, value] of Object.entries(numbers)) {
    if (value !== undefined) args.push(`--${name}`, String(value));
  }
  if (plan.reopen) args.push('--reopen');
  if (plan.direct) args.push('--direct');
  if (plan.list) args.push('--list', plan.list);
  if (plan.diskOf) args.push('--disk', plan.diskOf);
  if (plan.cpus) args.push('--cpu', plan.cpus);
  return JSON.parse(await output(READER, args)) as ReadResult;
}

export function gigabytesPerSecond(pass: Pass | undefined): number {
  return pass ? pass.bytes / pass.seconds / 1e9 : Number.NaN;
}

export function readsPerSecond(pass: Pass | undefined): number {
  return pass ? pass.reads / pass.seconds : Number.NaN;
}

/** Bytes read from the disk for each requested byte; NaN if the disk is not counted. */
export function diskAmplification(pass: Pass | undefined): number {
  return pass && pass.diskBytes >= 0 && pass.bytes > 0 ? pass.diskBytes / pass.bytes : Number.NaN;
}
