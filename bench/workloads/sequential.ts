import { gigabytesPerSecond, read } from '../client.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Subject } from '../subject.ts';
import { warm } from './temperature.ts';
import { servesTensor, type Workload } from './workload.ts';

/** The checkpoint is in the page cache, and the mount is new: the cost of the way through FUSE, and the effect of the kernel's cache. */
export const sequential: Workload = {
  name: 'sequential',
  about: 'pread of 1 MiB blocks from front to end, checkpoint in the page cache, fresh mount',
  subject: 'large',
  metrics: [
    { key: 'first', title: 'first pass', unit: 'GB/s', better: 'higher', headline: true },
    { key: 'kept', title: 'second pass, descriptor kept', unit: 'GB/s', better: 'higher', headline: true },
    { key: 'reopened', title: 'second pass, reopened', unit: 'GB/s', better: 'higher' },
  ],
  appliesTo: servesTensor,
  measure: async (driver, subject) => {
    await warm(subject);
    const kept = await twoPasses(driver, subject, false);
    const reopened = await twoPasses(driver, subject, true);
    return { first: (kept.first + reopened.first) / 2, kept: kept.second, reopened: reopened.second };
  },
};

/**
 * Each second pass is the second touch of its pages: the kernel then moves a page to the active list, which costs time. A third touch would
 * look faster than it is for anybody who reads twice.
 */
async function twoPasses(driver: Driver, subject: Subject, reopen: boolean) {
  const opened = await driver.open(subject);
  try {
    const { path, offset, length } = opened;
    const { passes } = await read({ mode: 'seq', path, offset, length, passes: 2, reopen });
    return { first: gigabytesPerSecond(passes[0]), second: gigabytesPerSecond(passes[1]) };
  } finally {
    await opened.close();
  }
}
