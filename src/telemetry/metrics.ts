/**
 * A few numbers in Prometheus' text format (version 0.0.4). Values are read when somebody asks, from those who count anyway:
 * a session's counters, the page cache, the process.
 */
export interface Metric {
  /** Without the `mlfs_` prefix; counters end in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

export class MetricsRegistry {
  readonly #sources: (() => Iterable<Metric>)[] = [];

  /** `source` is asked at every rendering. */
  register(source: () => Iterable<Metric>): void {
    this.#sources.push(source);
  }

  render(): string {
    const families = new Map<string, string[]>();
    for (const source of this.#sources) {
      for (const metric of source()) {
        const name = `mlfs_${metric.name}`;
        let lines = families.get(name);
        if (lines === undefined) {
          lines = [
            `# HELP ${name} ${metric.help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')}`,
            `# TYPE ${name} ${name.endsWith('_total') ? 'counter' : 'gauge'}`,
          ];
          families.set(name, lines);
        }
        lines.push(`${name}${labelText(metric.labels)} ${metric.value}`);
      }
    }
    return [...families.values()].map((lines) => `${lines.join('\n')}\n`).join('');
  }
}

function labelText(labels: Readonly<Record<string, string>> = {}): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
