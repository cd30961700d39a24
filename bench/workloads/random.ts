import { diskAmplification, read, readsPerSecond } from '../client.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Subject } from '../subject.ts';
import { chill, warm } from './temperature.ts';
import { type Scale, servesTensor, type Workload } from './workload.ts';

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

/** At most so much of the tensor is brought into the mount's own pages for the cached reads. */
const CACHED_BYTES = 512 * 2 ** 20;

/** Reads of what the kernel has already of this file: the mount read it from front to end just before. */
async function cachedInMount(driver: Driver, subject: Subject, scale: Scale) {
  const opened = await driver.open(subject);
  try {
    const { path, offset } = opened;
    const length = Math.min(opened.length, CACHED_BYTES);
    await read({ mode: 'seq', path, offset, length });
    const seconds = scale.randomSeconds;
    const result = await read({ mode: 'random', path, offset, length, block: 4096, seconds, seed: SEED });
    return result.passes[0];
  } finally {
    await opened.close();
  }
}

export const randomHot: Workload = {
  name: 'random',
  about:
    '4 KiB at random, one after another, checkpoint in the page cache: fresh mount, and after a first pass',
  subject: 'large',
  metrics: [
    {
      key: 'rate',
      title: 'random 4 KiB, first touch, file in the page cache',
      unit: 'reads/s',
      better: 'higher',
      headline: true,
    },
    { key: 'cached', title: 'random 4 KiB, read before', unit: 'reads/s', better: 'higher', headline: true },
  ],
  appliesTo: servesTensor,
  measure: async (driver, subject, scale) => {
    await warm(subject);
    return {
      rate: readsPerSecond(await scattered(driver, subject, scale)),
      cached: readsPerSecond(await cachedInMount(driver, subject, scale)),
    };
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
  appliesTo: (driver) => servesTensor(driver) && !driver.secondary,
  measure: async (driver, subject, scale) => {
    await chill(subject);
    const pass = await scattered(driver, subject, scale);
    return { rate: readsPerSecond(pass), disk: diskAmplification(pass) };
  },
};
