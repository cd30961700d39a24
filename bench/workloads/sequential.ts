import { gigabytesPerSecond, read } from '../client.ts';
import { warm } from './temperature.ts';
import type { Workload } from './workload.ts';

/** The checkpoint is in the page cache, the mount is fresh: what the way through FUSE costs, and what the kernel keeps. */
export const sequential: Workload = {
  name: 'sequential',
  about: 'pread of 1 MiB blocks from front to end, checkpoint in the page cache, fresh mount',
  subject: 'large',
  metrics: [
    { key: 'first', title: 'first pass', unit: 'GB/s', better: 'higher' },
    { key: 'kept', title: 'second pass, descriptor kept', unit: 'GB/s', better: 'higher' },
    { key: 'reopened', title: 'second pass, reopened', unit: 'GB/s', better: 'higher' },
  ],
  appliesTo: () => true,
  measure: async (driver, subject) => {
    await warm(subject);
    const opened = await driver.open(subject);
    try {
      const { path, offset, length } = opened;
      const kept = await read({ mode: 'seq', path, offset, length, passes: 2 });
      const reopened = await read({ mode: 'seq', path, offset, length });
      return {
        first: gigabytesPerSecond(kept.passes[0]),
        kept: gigabytesPerSecond(kept.passes[1]),
        reopened: gigabytesPerSecond(reopened.passes[0]),
      };
    } finally {
      await opened.close();
    }
  },
};
