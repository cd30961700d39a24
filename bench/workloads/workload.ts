/** What is measured: a question to every driver in the same way, and the figures of its answer. */
import type { Driver } from '../drivers/driver.ts';
import type { Subject, SubjectKind } from '../subject.ts';

export interface Metric {
  readonly key: string;
  readonly title: string;
  readonly unit: 'GB/s' | 'reads/s' | 'writes/s' | 's' | 'MiB' | 'bytes' | 'bytes/byte';
  readonly better: 'higher' | 'lower';
  /** Shown in the chart; the tables show all of them. */
  readonly headline?: true;
}

/** Limits of one sample. */
export interface Scale {
  readonly randomSeconds: number;
  /** At most this many bytes are read through a mapping. */
  readonly mappedBytes: number;
  /** Number of writes of a random pass. */
  readonly randomWrites: number;
}

/** Whether a driver takes part in reading one large tensor. */
export function servesTensor(driver: Driver): boolean {
  return driver.treeOnly !== true && driver.lookOnly !== true && driver.overwriteOnly !== true;
}

/** Whether a driver takes part in changing a model: MLFS keeps the edits in a journal, and the direct driver has plain files. */
export function editsModel(driver: Driver): boolean {
  return driver.editable === true && driver.overwriteOnly !== true;
}

/** Whether its edits are kept in a journal. */
export function keepsJournal(driver: Driver): boolean {
  return editsModel(driver) && driver.direct !== true;
}

export interface Workload {
  readonly name: string;
  readonly about: string;
  readonly subject: SubjectKind;
  readonly metrics: readonly Metric[];
  readonly appliesTo: (driver: Driver) => boolean;
  /**
   * At most so many rounds, without a warm-up: one for a count, which does not depend on other load on the machine, and few for what takes
   * long.
   */
  readonly mostRounds?: number;
  /** Why a driver cannot be measured here, such as a program that is not installed; undefined if it can. */
  readonly missing?: (driver: Driver) => string | undefined;
  /** One sample: a value for every metric, NaN for a metric that this driver does not have. */
  readonly measure: (driver: Driver, subject: Subject, scale: Scale) => Promise<Record<string, number>>;
}
