import { gigabytesPerSecond, read } from '../client.ts';
import { warm } from './temperature.ts';
import { servesTensor, type Workload } from './workload.ts';

/** The cost of np.memmap. */
export const mapped: Workload = {
  name: 'mmap',
  about: 'mmap of the file and every word added up, checkpoint in the page cache, fresh mount',
  subject: 'large',
  metrics: [
    { key: 'first', title: 'mmap, first pass', unit: 'GB/s', better: 'higher', headline: true },
    { key: 'second', title: 'mmap, second pass', unit: 'GB/s', better: 'higher' },
  ],
  appliesTo: servesTensor,
  measure: async (driver, subject, scale) => {
    await warm(subject);
    const opened = await driver.open(subject);
    try {
      const { path, offset } = opened;
      const length = Math.min(opened.length, scale.mappedBytes);
      const { passes } = await read({ mode: 'mmap', path, offset, length, passes: 2 });
      return { first: gigabytesPerSecond(passes[0]), second: gigabytesPerSecond(passes[1]) };
    } finally {
      await opened.close();
    }
  },
};
