/** What is measured: a question put to every driver in the same way, and the figures it is answered with. */
import type { Driver } from '../drivers/driver.ts';
import type { Subject, SubjectKind } from '../subject.ts';

export interface Metric {
  readonly key: string;
  readonly title: string;
  readonly unit: 'GB/s' | 'reads/s' | 'writes/s' | 's' | 'MiB' | 'bytes' | 'bytes/byte';
  readonly better: 'higher' | 'lower';
  /** In the chart; the tables have all of them. */
  readonly headline?: true;
}

/** How long one sample may take. */
export interface Scale {
  readonly randomSeconds: number;
  /** At most so many bytes are read through a mapping. */
  readonly mappedBytes: number;
  /** Of a pass at random. */
  readonly randomWrites: number;
}

export interface Workload {
  readonly name: string;
  readonly about: string;
  readonly subject: SubjectKind;
  readonly metrics: readonly Metric[];
  readonly appliesTo: (driver: Driver) => boolean;
  /** One sample is enough, without a warm-up: what is counted does not depend on what the machine does meanwhile. */
  readonly once?: true;
  /** One sample: a value for every metric, NaN for what this driver has no answer to. */
  readonly measure: (driver: Driver, subject: Subject, scale: Scale) => Promise<Record<string, number>>;
}
