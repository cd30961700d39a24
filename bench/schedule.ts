/**
 * Rounds A B C, A B C, …: every driver is measured once in each round, so that other load on the machine affects all of them alike. The first
 * round warms up and is not counted, except where a workload has few rounds. A driver that fails once is left out of the
 * workload, with its reason.
 */
import type { Driver } from './drivers/driver.ts';
import { throwIfInterrupted } from './interrupt.ts';
import { type Summary, summarize } from './statistics.ts';
import type { Subject } from './subject.ts';
import type { Metric, Scale, Workload } from './workloads/workload.ts';

export interface Row {
  readonly driver: string;
  readonly workload: string;
  readonly metric: Metric;
  /** Undefined if this driver has no answer; `reason` says why. */
  readonly summary?: Summary;
  readonly reason?: string;
}

export interface ScheduleOptions {
  readonly rounds: number;
  readonly scale: Scale;
  readonly onProgress: (message: string) => void;
}

export async function measureWorkload(
  workload: Workload,
  drivers: readonly Driver[],
  subject: Subject,
  options: ScheduleOptions,
): Promise<Row[]> {
  const reasons = new Map<string, string>();
  const samples = new Map<string, Record<string, number>[]>();
  const measured = drivers.filter((driver) => workload.appliesTo(driver));
  for (const driver of measured) {
    const reason = driver.missing() ?? workload.missing?.(driver);
    if (reason) reasons.set(driver.name, reason);
    samples.set(driver.name, []);
  }
  const { mostRounds } = workload;
  const [first, last] =
    mostRounds === undefined ? [0, options.rounds] : [1, Math.min(options.rounds, mostRounds)];
  for (let round = first; round <= last; round++) {
    for (const driver of measured) {
      if (reasons.has(driver.name)) continue;
      throwIfInterrupted();
      options.onProgress(`${workload.name} ${round}/${last} ${driver.name}`);
      try {
        const sample = await workload.measure(driver, subject, options.scale);
        if (round > 0) samples.get(driver.name)?.push(sample);
      } catch (cause) {
        reasons.set(driver.name, `failed: ${cause instanceof Error ? cause.message : String(cause)}`);
      }
    }
  }
  return measured.flatMap((driver) =>
    workload.metrics.map((metric) =>
      toRow(driver, workload, metric, samples.get(driver.name) ?? [], reasons.get(driver.name)),
    ),
  );
}

function toRow(
  driver: Driver,
  workload: Workload,
  metric: Metric,
  samples: readonly Record<string, number>[],
  reason: string | undefined,
): Row {
  const row = { driver: driver.name, workload: workload.name, metric };
  if (reason) return { ...row, reason };
  const values = samples.map((sample) => sample[metric.key] ?? Number.NaN).filter(Number.isFinite);
  return values.length > 0 ? { ...row, summary: summarize(values) } : { ...row, reason: 'does not apply' };
}
