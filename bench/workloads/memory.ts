import { read } from '../client.ts';
import { resident, watch } from '../resident.ts';
import { warm } from './temperature.ts';
import { servesTensor, type Workload } from './workload.ts';

/** The cost, in the server's memory, of reading a large file. Pages of the checkpoint that a server maps count as file pages. */
export const memory: Workload = {
  name: 'memory',
  about: 'resident memory of the server while a large tensor is read from front to end and at random',
  subject: 'large',
  mostRounds: 1,
  metrics: [
    { key: 'rest', title: 'server at rest', unit: 'MiB', better: 'lower' },
    { key: 'peak', title: 'server, most ever (VmHWM)', unit: 'MiB', better: 'lower', headline: true },
    { key: 'anonymous', title: 'server, most anonymous', unit: 'MiB', better: 'lower' },
    { key: 'file', title: 'server, most file pages', unit: 'MiB', better: 'lower' },
    { key: 'growth', title: 'server, most ever less at rest', unit: 'MiB', better: 'lower' },
  ],
  appliesTo: (driver) => servesTensor(driver) && !driver.direct && !driver.secondary,
  measure: async (driver, subject, scale) => {
    await warm(subject);
    const opened = await driver.open(subject);
    try {
      const { path, offset, length } = opened;
      const pid = opened.pid ?? 0;
      const rest = await resident(pid);
      const reading = (async () => {
        await read({ mode: 'seq', path, offset, length });
        await read({ mode: 'random', path, offset, length, seconds: scale.randomSeconds });
      })();
      const most = await watch(pid, reading);
      return {
        rest: rest.total,
        peak: most.peak,
        anonymous: most.anonymous,
        file: most.file,
        growth: most.peak - rest.total,
      };
    } finally {
      await opened.close();
    }
  },
};
