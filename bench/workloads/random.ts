import { diskAmplification, read, readsPerSecond } from '../client.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Subject } from '../subject.ts';
import { chill, warm } from './temperature.ts';
import type { Scale, Workload } from './workload.ts';

const SEED = 20_240_229;

/** No block is read twice, so the mount's own pages in the kernel never help. */
async function scattered(driver: Driver, subject: Subject, scale: Scale) {
  const opened = await driver.open(subject);
  try {
    const { path, offset, length } = opened;
    const result = await read({
      mode: 'random',
      path,
      offset,
      length,
      block: 4096,
      seconds: scale.randomSeconds,
      seed: SEED,
      diskOf: subject.path,
    });
    return result.passes[0];
  } finally {
    await opened.close();
  }
}

export const randomHot: Workload = {
  name: 'random',
  about: '4 KiB at random, one after another, checkpoint in the page cache, fresh mount',
  subject: 'large',
  metrics: [{ key: 'rate', title: 'random 4 KiB, hot', unit: 'reads/s', better: 'higher', headline: true }],
  appliesTo: () => true,
  measure: async (driver, subject, scale) => {
    await warm(subject);
    return { rate: readsPerSecond(await scattered(driver, subject, scale)) };
  },
};

export const randomCold: Workload = {
  name: 'random-disk',
  about: '4 KiB at random from the disk, checkpoint evicted, fresh mount',
  subject: 'large',
  metrics: [
    { key: 'rate', title: 'random 4 KiB, from disk', unit: 'reads/s', better: 'higher', headline: true },
    { key: 'disk', title: 'disk bytes for a byte read', unit: 'bytes/byte', better: 'lower' },
  ],
  appliesTo: () => true,
  measure: async (driver, subject, scale) => {
    await chill(subject);
    const pass = await scattered(driver, subject, scale);
    return { rate: readsPerSecond(pass), disk: diskAmplification(pass) };
  },
};
