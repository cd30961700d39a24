/**
 * Numbers in Prometheus' text format (version 0.0.4). Values are read at each rendering from the objects that count them: the rooms' traffic,
 * a session's counters, the rendered pages, the process.
 */

import { visibleLines } from '../visible-text.ts';
import type { HistogramCounts } from './histogram.ts';

export type Metric = NumberMetric | HistogramMetric;

interface MetricName {
  /** Without the `mlfs_` prefix. A counter ends in `_total`; a name with a unit has it before that. */
  readonly name: string;
  readonly help: string;
  readonly labels?: Labels;
}

export interface NumberMetric extends MetricName {
  readonly value: number;
}

export interface HistogramMetric extends MetricName {
  readonly histogram: HistogramCounts;
}

type Labels = Readonly<Record<string, string>>;

export class MetricsRegistry {
  readonly #sources: (() => Iterable<Metric>)[] = [];

  /** `source` is called at every rendering. */
  register(source: () => Iterable<Metric>): void {
    this.#sources.push(source);
  }

  /** The lines of a family stand together, whichever source they come from. */
  render(): string {
    const families = new Map<string, string[]>();
    for (const source of this.#sources) {
      for (const metric of source()) {
        const name = `mlfs_${metric.name}`;
        let lines = families.get(name);
        if (lines === undefined) {
          lines = [
            `# HELP ${name} ${metric.help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')}`,
            `# TYPE ${name} ${typeOf(metric)}`,
          ];
          families.set(name, lines);
        }
        if ('histogram' in metric) lines.push(...histogramLines(name, metric));
        else lines.push(sample(name, metric.labels, metric.value));
      }
    }
    return [...families.values()].map((lines) => `${lines.join('\n')}\n`).join('');
  }
}

function typeOf(metric: Metric): 'histogram' | 'counter' | 'gauge' {
  if ('histogram' in metric) return 'histogram';
  return metric.name.endsWith('_total') ? 'counter' : 'gauge';
}

/** Each bucket also counts the observations below it. */
function histogramLines(name: string, { labels, histogram }: HistogramMetric): string[] {
  const { bounds, counts, sum } = histogram;
  let below = 0;
  const buckets = counts.map((count, index) => {
    below += count;
    return sample(`${name}_bucket`, { ...labels, le: String(bounds[index] ?? '+Inf') }, below);
  });
  return [...buckets, sample(`${name}_sum`, labels, sum), sample(`${name}_count`, labels, below)];
}

function sample(name: string, labels: Labels = {}, value: number): string {
  const pairs = Object.entries(labels).map(
    ([label, text]) =>
      `${label}="${visibleLines(text).replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`,
  );
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`;
}
