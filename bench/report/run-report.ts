import { readFile } from 'node:fs/promises';
import os from 'node:os';
import type { Row } from '../schedule.ts';
import type { Verdict } from '../targets.ts';

export interface Machine {
  readonly kernel: string;
  readonly processors: string;
  readonly memoryGib: number;
  readonly node: string;
  /** Pages the kernel allows in one FUSE request. */
  readonly fuseMaxPages: number | undefined;
  /** One, five and fifteen minutes, at the start of the run: figures from a busy machine are worthless. */
  readonly loadAverage: readonly number[];
}

/** All results of one run, as written to JSON. */
export interface RunReport {
  /** Of MLFS. Runs of 0.1.0 do not have it. */
  readonly version?: string;
  readonly startedAt: string;
  readonly command: string;
  readonly rounds: number;
  readonly tensorBytes: number;
  readonly machine: Machine;
  /** How long each workload took, its checkpoint included. Runs of 0.1.0 do not have it. */
  readonly seconds?: Readonly<Record<string, number>>;
  readonly rows: readonly Row[];
  readonly verdicts: readonly Verdict[];
}

export async function describeMachine(): Promise<Machine> {
  const cpus = os.cpus();
  return {
    kernel: `${os.type()} ${os.release()} ${os.arch()}`,
    processors: `${cpus.length} × ${cpus[0]?.model.trim() ?? 'unknown'}`,
    memoryGib: Math.round(os.totalmem() / 2 ** 30),
    node: process.version,
    fuseMaxPages: await numberIn('/proc/sys/fs/fuse/max_pages_limit'),
    loadAverage: os.loadavg().map((load) => Number(load.toFixed(2))),
  };
}

/** Undefined if the kernel does not have the file. */
async function numberIn(path: string): Promise<number | undefined> {
  try {
    return Number((await readFile(path, 'utf8')).trim());
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw cause;
  }
}

/** Rows of one figure, in the order they were measured. */
export function byMetric(rows: readonly Row[]): Row[][] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const key = `${row.workload}/${row.metric.key}`;
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return [...groups.values()];
}
