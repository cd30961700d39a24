import { open } from 'node:fs/promises';
import type { SubjectKind } from '../subject.ts';
import type { Workload } from './workload.ts';

/** The time from the command to the first byte of a tensor, including the start of the runtime. */
function firstByteOf(name: string, subject: SubjectKind, what: string): Workload {
  return {
    name,
    about: `from starting the command (or a program that uses the library) to the first byte of a tensor, ${what}`,
    subject,
    metrics: [
      { key: 'command', title: `first byte of ${what}, command`, unit: 's', better: 'lower', headline: true },
      { key: 'library', title: `first byte of ${what}, library`, unit: 's', better: 'lower' },
    ],
    appliesTo: (driver) => driver.launch !== undefined && !driver.secondary,
    measure: async (driver, subject) => ({
      command: await timeOne(() => driver.launch?.(subject, 'command')),
      library: await timeOne(() => driver.launch?.(subject, 'library')),
    }),
  };
}

export const firstByte: Workload = firstByteOf('first-byte', 'large', 'the large checkpoint');
export const firstByteOfTerabyte: Workload = firstByteOf('first-byte-1tib', 'terabyte', '1 TiB (sparse)');

interface Readable {
  readonly path: string;
  readonly offset: number;
  close(): Promise<void>;
}

async function timeOne(launch: () => Promise<Readable | undefined> | undefined): Promise<number> {
  const start = performance.now();
  const opened = await launch();
  if (!opened) return Number.NaN;
  try {
    const file = await open(opened.path, 'r');
    await file.read(Buffer.alloc(1), 0, 1, opened.offset);
    const seconds = (performance.now() - start) / 1000;
    await file.close();
    return seconds;
  } finally {
    await opened.close();
  }
}
