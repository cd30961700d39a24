import { gigabytesPerSecond, read, readsPerSecond } from '../client.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Subject } from '../subject.ts';
import { warm } from './temperature.ts';
import type { Scale, Workload } from './workload.ts';

async function placed(driver: Driver, subject: Subject, scale: Scale, server: string, client: string) {
  const opened = await driver.open(subject, { cpus: server });
  try {
    const { path, offset, length } = opened;
    const random = await read({
      mode: 'random',
      path,
      offset,
      length: Math.floor(length / 2),
      block: 4096,
      seconds: scale.randomSeconds / 2,
      cpus: client,
    });
    const half = Math.floor(length / 2);
    const stream = await read({ mode: 'seq', path, offset: offset + half, length: half, cpus: client });
    return { random: readsPerSecond(random.passes[0]), stream: gigabytesPerSecond(stream.passes[0]) };
  } finally {
    await opened.close();
  }
}

/** Client and server on one processor, and on two: the same server can be ten times slower on two. */
export const placement: Workload = {
  name: 'placement',
  about:
    'the plainest C loop and MLFS: requester and server held on one processor (0) or on two (0 and 1), checkpoint in the page cache',
  subject: 'large',
  metrics: [
    { key: 'randomOne', title: 'random 4 KiB, one processor', unit: 'reads/s', better: 'higher' },
    { key: 'randomTwo', title: 'random 4 KiB, two processors', unit: 'reads/s', better: 'higher' },
    { key: 'streamOne', title: 'first pass, one processor', unit: 'GB/s', better: 'higher' },
    { key: 'streamTwo', title: 'first pass, two processors', unit: 'GB/s', better: 'higher' },
  ],
  appliesTo: ({ name }) => name === 'c-loop plain' || name === 'mlfs kernel',
  measure: async (driver, subject, scale) => {
    await warm(subject);
    const one = await placed(driver, subject, scale, '0', '0');
    const two = await placed(driver, subject, scale, '1', '0');
    return { randomOne: one.random, randomTwo: two.random, streamOne: one.stream, streamTwo: two.stream };
  },
};
