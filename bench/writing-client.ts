import { output, WRITER } from './programs.ts';

/** How the writing client writes. Sizes in bytes. */
export interface WritePlan {
  readonly mode: 'seq' | 'random';
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  /** 1 MiB, at random 4 KiB. */
  readonly block?: number;
  /** Most writes. */
  readonly count?: number;
  /** Decides the bytes, and the order of a random pass. */
  readonly seed?: number;
  /** fsync before the close, or fdatasync after every so many writes as well; nothing without it. */
  readonly sync?: 'end' | number;
  /** Every byte becomes its complement, so that it differs. */
  readonly invert?: boolean;
}

export interface WriteResult {
  readonly bytes: number;
  readonly writes: number;
  readonly syncs: number;
  /** From before the open to after the close. */
  readonly seconds: number;
}

/** Writes in a process of its own, which is never the server. */
export async function write(plan: WritePlan): Promise<WriteResult> {
  const args = [plan.mode, plan.path];
  const { offset, length, block, count, seed, sync } = plan;
  for (const [name, value] of Object.entries({ offset, length, block, count, seed, sync })) {
    if (value !== undefined) args.push(`--${name}`, String(value));
  }
  if (plan.invert) args.push('--invert');
  return JSON.parse(await output(WRITER, args)) as WriteResult;
}

export function gigabytesWrittenPerSecond({ bytes, seconds }: WriteResult): number {
  return bytes / seconds / 1e9;
}

export function writesPerSecond({ writes, seconds }: WriteResult): number {
  return writes / seconds;
}
