import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { read } from '../client.ts';
import { warm } from './temperature.ts';
import type { Workload } from './workload.ts';

const SAMPLE_EVERY_MS = 20;

interface Resident {
  readonly total: number;
  readonly anonymous: number;
  readonly file: number;
  /** The most it ever was. */
  readonly peak: number;
}

/** What reading a large file costs the server that serves it. Pages of the checkpoint that a server maps count as file pages. */
export const memory: Workload = {
  name: 'memory',
  about: 'resident memory of the server while a large tensor is read from front to end and at random',
  subject: 'large',
  metrics: [
    { key: 'rest', title: 'server at rest', unit: 'MiB', better: 'lower' },
    { key: 'peak', title: 'server, most ever (VmHWM)', unit: 'MiB', better: 'lower', headline: true },
    { key: 'anonymous', title: 'server, most anonymous', unit: 'MiB', better: 'lower' },
    { key: 'file', title: 'server, most file pages', unit: 'MiB', better: 'lower' },
    { key: 'growth', title: 'server, most ever less at rest', unit: 'MiB', better: 'lower' },
  ],
  appliesTo: (driver) => !driver.direct,
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

async function watch(pid: number, until: Promise<void>): Promise<Resident> {
  let most: Resident = { total: 0, anonymous: 0, file: 0, peak: 0 };
  const ended = until.then(() => true);
  for (let done = false; !done; ) {
    const now = await resident(pid);
    most = {
      total: Math.max(most.total, now.total),
      anonymous: Math.max(most.anonymous, now.anonymous),
      file: Math.max(most.file, now.file),
      peak: Math.max(most.peak, now.peak),
    };
    done = await Promise.race([ended, sleep(SAMPLE_EVERY_MS, false)]);
  }
  return most;
}

/** /proc/PID/status, in MiB. */
async function resident(pid: number): Promise<Resident> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 'NaN') / 1024;
  return {
    total: field('VmRSS'),
    anonymous: field('RssAnon'),
    file: field('RssFile'),
    peak: field('VmHWM'),
  };
}
