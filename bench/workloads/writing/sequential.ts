import path from 'node:path';
import { read } from '../../client.ts';
import type { Opened } from '../../drivers/driver.ts';
import { journalBytes, withFresh } from '../../edits.ts';
import type { Subject } from '../../subject.ts';
import {
  gigabytesWrittenPerSecond,
  nextSeed,
  type WritePlan,
  type WriteResult,
  write,
} from '../../writing-client.ts';
import { warm } from '../temperature.ts';
import { keepsJournal, type Workload } from '../workload.ts';

/** A whole tensor is overwritten with different bytes, compared with a plain file. */
export const sequentialWrite: Workload = {
  name: 'write',
  about:
    'pwrite of 1 MiB blocks from front to end of a tensor, other bytes, checkpoint in the page cache, fresh mount without edits',
  subject: 'shared',
  metrics: [
    { key: 'none', title: 'write, nothing synced', unit: 'GB/s', better: 'higher' },
    { key: 'end', title: 'write, fsync at the end', unit: 'GB/s', better: 'higher', headline: true },
    { key: 'often', title: 'write, fdatasync every 64 MiB', unit: 'GB/s', better: 'higher' },
    { key: 'again', title: 'write of the same bytes again', unit: 'GB/s', better: 'higher' },
    { key: 'againJournal', title: 'journal of the same bytes again', unit: 'bytes', better: 'lower' },
    { key: 'tied', title: 'write through a second name', unit: 'GB/s', better: 'higher' },
    { key: 'viewed', title: 'write while an overlapping view is cached', unit: 'GB/s', better: 'higher' },
  ],
  appliesTo: ({ editable }) => editable === true,
  measure: async (driver, subject) => {
    await warm(subject);
    const twice = await withFresh(driver, subject, sameBytesTwice);
    const end = await withFresh(driver, subject, (opened) => over(opened, { sync: 'end' }));
    const often = await withFresh(driver, subject, (opened) => over(opened, { sync: 64 }));
    const names = !keepsJournal(driver)
      ? { tied: Number.NaN, viewed: Number.NaN }
      : await withFresh(driver, subject, (opened) => otherNames(opened, subject));
    return {
      ...twice,
      end: gigabytesWrittenPerSecond(end),
      often: gigabytesWrittenPerSecond(often),
      ...names,
    };
  },
};

function over(opened: Opened, how: Partial<WritePlan>): Promise<WriteResult> {
  const { path: file, offset, length } = opened;
  return write({ mode: 'seq', path: file, offset, length, seed: nextSeed(), ...how });
}

async function sameBytesTwice(opened: Opened, state: string) {
  const seed = nextSeed();
  const none = await over(opened, { seed });
  const before = await journalBytes(state);
  const again = await over(opened, { seed });
  return {
    none: gigabytesWrittenPerSecond(none),
    again: gigabytesWrittenPerSecond(again),
    againJournal: opened.documents === undefined ? Number.NaN : (await journalBytes(state)) - before,
  };
}

/** The lower half through the second name; then the upper half, which the kernel has cached under another inode. */
async function otherNames(opened: Opened, { tensor }: Subject) {
  const { tied, root } = opened;
  const { upperHalfPath } = tensor;
  if (tied === undefined || upperHalfPath === undefined) throw new Error('the tensor has one name only');
  const half = opened.length / 2;
  const lower = await over(opened, { path: tied, offset: 0, length: half });
  const view = path.join(root, '..', ...upperHalfPath);
  await read({ mode: 'seq', path: view, offset: 0, length: half });
  const upper = await over(opened, { path: tied, offset: half, length: half });
  return { tied: gigabytesWrittenPerSecond(lower), viewed: gigabytesWrittenPerSecond(upper) };
}
