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

/** How `np.memmap(mode='r+')` writes. The seconds include munmap and close, which writes back through a mount but not natively. */
export const mappedWrite: Workload = {
  name: 'write-mapped',
  about:
    'stores into a shared mapping of a tensor, other bytes, checkpoint in the page cache, fresh mount without edits',
  subject: 'shared',
  metrics: [
    { key: 'none', title: 'mapped write in order, nothing synced', unit: 'GB/s', better: 'higher' },
    {
      key: 'end',
      title: 'mapped write in order, fsync at the end',
      unit: 'GB/s',
      better: 'higher',
      headline: true,
    },
    {
      key: 'random',
      title: 'mapped write of 4 KiB at random, fsync at the end',
      unit: 'writes/s',
      better: 'higher',
    },
  ],
  appliesTo: ({ editable }) => editable === true,
  measure: async (driver, subject, { randomWrites }) => {
    await warm(subject);
    return {
      none: gigabytesWrittenPerSecond(await stores(driver, subject, { mode: 'seq' })),
      end: gigabytesWrittenPerSecond(await stores(driver, subject, { mode: 'seq', sync: 'end' })),
      random: writesPerSecond(
        await stores(driver, subject, { mode: 'random', count: randomWrites, sync: 'end' }),
      ),
    };
  },
};

function stores(
  driver: Driver,
  subject: Subject,
  how: Pick<WritePlan, 'mode' | 'count' | 'sync'>,
): Promise<WriteResult> {
  return withFresh(driver, subject, ({ path, offset, length }) =>
    write({ path, offset, length, mapped: true, seed: nextSeed(), ...how }),
  );
}
