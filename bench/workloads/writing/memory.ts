import { withState } from '../../edits.ts';
import { resident, watch } from '../../resident.ts';
import { write } from '../../writing-client.ts';
import { keepsJournal, type Workload } from '../workload.ts';

/** The cost, in the server's memory, of writing much more than its limit. */
export const writeMemory: Workload = {
  name: 'write-memory',
  about:
    'resident memory of the server, with a budget of 64 MiB, while a large tensor is written over from front to end',
  subject: 'large',
  mostRounds: 1,
  metrics: [
    { key: 'rest', title: 'writing: server at rest', unit: 'MiB', better: 'lower' },
    { key: 'peak', title: 'writing: server, most ever (VmHWM)', unit: 'MiB', better: 'lower' },
    { key: 'anonymous', title: 'writing: server, most anonymous', unit: 'MiB', better: 'lower' },
    { key: 'growth', title: 'writing: server, most ever less at rest', unit: 'MiB', better: 'lower' },
  ],
  appliesTo: keepsJournal,
  measure: (driver, subject) =>
    withState(subject, async (state) => {
      const opened = await driver.open(subject, { state, cacheSize: '64M' });
      try {
        const { path, offset, length, pid = 0 } = opened;
        const rest = await resident(pid);
        const writing = write({ mode: 'seq', path, offset, length }).then(() => undefined);
        const most = await watch(pid, writing);
        return {
          rest: rest.total,
          peak: most.peak,
          anonymous: most.anonymous,
          growth: most.peak - rest.total,
        };
      } finally {
        await opened.close();
      }
    }),
};
