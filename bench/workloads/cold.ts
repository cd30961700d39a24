import { diskAmplification, gigabytesPerSecond, read } from '../client.ts';
import { chill } from './temperature.ts';
import { servesTensor, type Workload } from './workload.ts';

export const cold: Workload = {
  name: 'cold',
  about: 'the same from the disk: checkpoint evicted, fresh mount (a hypervisor may have its own cache)',
  subject: 'large',
  metrics: [
    { key: 'rate', title: 'cold sequential', unit: 'GB/s', better: 'higher', headline: true },
    { key: 'disk', title: 'disk bytes for a byte read', unit: 'bytes/byte', better: 'lower' },
  ],
  appliesTo: servesTensor,
  measure: async (driver, subject) => {
    await chill(subject);
    const opened = await driver.open(subject);
    try {
      const { path, offset, length } = opened;
      const result = await read({ mode: 'seq', path, offset, length, diskOf: subject.path });
      return { rate: gigabytesPerSecond(result.passes[0]), disk: diskAmplification(result.passes[0]) };
    } finally {
      await opened.close();
    }
  },
};
