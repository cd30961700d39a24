import type { Metric } from '../workloads/workload.ts';

/** Three significant digits, thousands kept whole. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

export function withUnit(value: number, metric: Metric): string {
  return `${figure(value)} ${metric.unit}`;
}

/** value ÷ reference, as `0.93 ×`. */
export function ratio(value: number, reference: number | undefined): string {
  return reference ? `${figure(value / reference)} ×` : '–';
}
