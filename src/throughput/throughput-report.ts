/** What `mlfs bench` found out. */
import type { ReadOutcome } from './read-plan.ts';
import type { ServedBy } from './served-by.ts';

export interface ThroughputReport {
  readonly checkpoint: string;
  /** Number of tensors read, and their size in bytes. */
  readonly tensors: number;
  readonly bytes: number;
  /** Read-only, then writable. */
  readonly mounts: readonly MountReport[];
  readonly rows: readonly ThroughputRow[];
}

export type MountMode = 'read-only' | 'writable';

export interface MountReport {
  readonly mode: MountMode;
  /** Undefined when it could not be mounted; `reason` says why then. */
  readonly servedBy?: ServedBy;
  readonly reason?: string;
}

export interface ThroughputRow {
  readonly what: string;
  readonly unit: 'GB/s' | 'reads/s';
  /** Undefined when it could not be measured; `reason` says why then. */
  readonly measured?: {
    readonly native: MeasuredSide;
    /** Of the mounts that could be mounted, in the order of the report. */
    readonly mounts: readonly MeasuredMount[];
  };
  readonly reason?: string;
}

export interface MeasuredMount extends MeasuredSide {
  readonly mode: MountMode;
  /** Mount ÷ native. */
  readonly ratio: number;
}

export interface MeasuredSide extends ReadOutcome {
  /** In the row's unit. */
  readonly rate: number;
}

/** A row from what each side read. */
export function compared(
  row: Pick<ThroughputRow, 'what' | 'unit'>,
  native: ReadOutcome,
  mounts: readonly { readonly mode: MountMode; readonly outcome: ReadOutcome }[],
): ThroughputRow {
  const rate = (outcome: ReadOutcome) =>
    row.unit === 'GB/s' ? outcome.bytes / outcome.seconds / 1e9 : outcome.reads / outcome.seconds;
  const nativeRate = rate(native);
  return {
    ...row,
    measured: {
      native: { ...native, rate: nativeRate },
      mounts: mounts.map(({ mode, outcome }) => {
        const mountRate = rate(outcome);
        return { mode, ...outcome, rate: mountRate, ratio: mountRate / nativeRate };
      }),
    },
  };
}
