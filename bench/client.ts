import { output, READER } from './programs.ts';

/** How the measuring client reads. Sizes in bytes. */
export interface ReadPlan {
  readonly mode: 'seq' | 'random' | 'mmap' | 'evict';
  readonly path: string;
  readonly offset: number;
  readonly length: number;
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
  readonly passes: readonly Pass[];
}

/** Reads in a separate process, which is never the server. */
export async function read(plan: ReadPlan): Promise<ReadResult> {
  const args = [plan.mode, plan.path, '--offset', String(plan.offset), '--length', String(plan.length)];
  const numbers = {
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
