import { rm } from 'node:fs/promises';
import { mlfsKernel } from '../../drivers/mlfs.ts';
import { control, withFresh } from '../../edits.ts';
import { output } from '../../programs.ts';
import { bytesWritten } from '../../resident.ts';
import type { Subject } from '../../subject.ts';
import { write } from '../../writing-client.ts';
import { warm } from '../temperature.ts';
import { editsModel, type Workload } from '../workload.ts';

/** The cost of committing a whole model, as after training. A commit is durable, so the copy that it is compared with is synced. */
export const commitWhole: Workload = {
  name: 'commit-whole',
  about:
    'commit of a tensor in which every byte was edited; native: cp of the checkpoint and sync of the copy; all in the page cache',
  subject: 'large',
  mostRounds: 2,
  metrics: [
    { key: 'time', title: 'commit of a wholly edited tensor', unit: 's', better: 'lower', headline: true },
    { key: 'rate', title: 'commit of a wholly edited tensor', unit: 'GB/s', better: 'higher' },
    {
      key: 'written',
      title: 'wholly edited: bytes written for a byte edited',
      unit: 'bytes/byte',
      better: 'lower',
    },
  ],
  appliesTo: (driver) => editsModel(driver) && (driver.direct === true || driver.name === mlfsKernel.name),
  measure: async (driver, subject) => {
    await warm(subject);
    if (driver.direct) return copying(subject);
    return withFresh(driver, subject, async (opened) => {
      const { path, offset, length, pid = 0 } = opened;
      const edited = await write({ mode: 'seq', path, offset, length, invert: true, sync: 'end' });
      const before = await bytesWritten(pid);
      const start = performance.now();
      const answer = await control(opened, 'commit');
      const time = (performance.now() - start) / 1000;
      if (answer.bytes !== edited.bytes)
        throw new Error(`not committed as a whole: ${JSON.stringify(answer)}`);
      const written = ((await bytesWritten(pid)) - before) / edited.bytes;
      return { time, rate: edited.bytes / time / 1e9, written };
    });
  },
};

async function copying(subject: Subject): Promise<Record<string, number>> {
  const copy = `${subject.path}.new`;
  try {
    const start = performance.now();
    await output('cp', ['--reflink=never', subject.path, copy]);
    await output('sync', [copy]);
    const time = (performance.now() - start) / 1000;
    return { time, rate: subject.size / time / 1e9, written: 1 };
  } finally {
    await rm(copy, { force: true });
  }
}
