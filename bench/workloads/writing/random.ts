import type { Driver } from '../../drivers/driver.ts';
import { withFresh } from '../../edits.ts';
import type { Subject } from '../../subject.ts';
import { nextSeed, type WritePlan, write, writesPerSecond } from '../../writing-client.ts';
import { warm } from '../temperature.ts';
import type { Scale, Workload } from '../workload.ts';

/** No block is written twice. */
export const randomWrite: Workload = {
  name: 'write-random',
  about:
    'pwrite of 4 KiB at random, one after another, other bytes, checkpoint in the page cache, fresh mount without edits',
  subject: 'shared',
  metrics: [
    { key: 'none', title: 'random 4 KiB write, nothing synced', unit: 'writes/s', better: 'higher' },
    { key: 'end', title: 'random 4 KiB write, fsync at the end', unit: 'writes/s', better: 'higher' },
    {
      key: 'often',
      title: 'random 4 KiB write, fdatasync every 64',
      unit: 'writes/s',
      better: 'higher',
      headline: true,
    },
  ],
  appliesTo: ({ editable }) => editable === true,
  measure: async (driver, subject, scale) => {
    await warm(subject);
    return {
      none: await scattered(driver, subject, scale, undefined),
      end: await scattered(driver, subject, scale, 'end'),
      often: await scattered(driver, subject, scale, 64),
    };
  },
};

function scattered(
  driver: Driver,
  subject: Subject,
  { randomWrites: count }: Scale,
  sync: WritePlan['sync'],
): Promise<number> {
  return withFresh(driver, subject, async ({ path, offset, length }) => {
    const plan = { path, offset, length, block: 4096, count, seed: nextSeed(), ...(sync ? { sync } : {}) };
    return writesPerSecond(await write({ mode: 'random', ...plan }));
  });
}
