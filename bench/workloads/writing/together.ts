import type { Driver } from '../../drivers/driver.ts';
import { withFresh } from '../../edits.ts';
import type { Subject } from '../../subject.ts';
import {
  gigabytesWrittenPerSecond,
  nextSeed,
  type WritePlan,
  type WriteResult,
  write,
  writesPerSecond,
} from '../../writing-client.ts';
import { warm } from '../temperature.ts';
import type { Workload } from '../workload.ts';

/** Natively, and behind the C loops, each tensor is a plain file: the kernel writes one file for one writer at a time. */
export const writeTogether: Workload = {
  name: 'write-together',
  about:
    'eight processes that write over a tensor each at the same time, other bytes, checkpoint in the page cache, fresh mount without edits; the sum of all',
  subject: 'eight',
  metrics: [
    { key: 'none', title: 'eight writers, nothing synced', unit: 'GB/s', better: 'higher' },
    {
      key: 'end',
      title: 'eight writers, fsync at the end of each',
      unit: 'GB/s',
      better: 'higher',
      headline: true,
    },
    {
      key: 'random',
      title: 'eight writers of 4 KiB at random, nothing synced',
      unit: 'writes/s',
      better: 'higher',
    },
    {
      key: 'often',
      title: 'eight writers of 4 KiB at random, each fdatasync every 64',
      unit: 'writes/s',
      better: 'higher',
    },
  ],
  appliesTo: ({ editable }) => editable === true,
  measure: async (driver, subject, { randomWrites }) => {
    await warm(subject);
    const count = randomWrites / (subject.tensors?.length ?? 1);
    return {
      none: gigabytesWrittenPerSecond(await together(driver, subject, { mode: 'seq' })),
      end: gigabytesWrittenPerSecond(await together(driver, subject, { mode: 'seq', sync: 'end' })),
      random: writesPerSecond(await together(driver, subject, { mode: 'random', count })),
      often: writesPerSecond(await together(driver, subject, { mode: 'random', count, sync: 64 })),
    };
  },
};

function together(
  driver: Driver,
  subject: Subject,
  how: Pick<WritePlan, 'mode' | 'count' | 'sync'>,
): Promise<WriteResult> {
  return withFresh(driver, subject, ({ tensorPaths: [path, ...others] = [], offset, length }) => {
    if (path === undefined) throw new Error(`${subject.path}: ${driver.name} does not name its tensors`);
    return write({ path, others, offset, length, seed: nextSeed(), ...how });
  });
}
