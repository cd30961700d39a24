import type { Opened } from '../drivers/driver.ts';
import { output } from '../programs.ts';
import type { Workload } from './workload.ts';

const TENSORS = 20_000;

/** A model of very many small tensors: the cost of a mount before it answers, and of the first walk through it. */
export const manyFiles: Workload = {
  name: 'many',
  about: '20,000 tensors: mount, find -type f, ls -lR, each on a fresh mount',
  subject: 'many',
  metrics: [
    {
      key: 'mount',
      title: 'mount of 20,000 tensors until it answers',
      unit: 's',
      better: 'lower',
      headline: true,
    },
    { key: 'find', title: 'find -type f, for 20,000 files', unit: 's', better: 'lower', headline: true },
    { key: 'list', title: 'ls -lR, for 20,000 files', unit: 's', better: 'lower' },
  ],
  // Read-only mounts walk beside the C loop, in the workload `walk`.
  appliesTo: ({ name }) => name === 'mlfs kernel' || name === 'mlfs fuse-native' || name === 'fuse-zip',
  mostRounds: 2,
  measure: async (driver, subject) => {
    const start = performance.now();
    const first = await driver.open(subject);
    const mount = (performance.now() - start) / 1000;
    const find = await walk(first, 'find', ['-type', 'f']);
    const second = await driver.open(subject);
    return { mount, find, list: await walk(second, 'ls', ['-lR']) };
  },
};

/** A mount may show more than one file for a tensor, so the time is for 20,000 of the files that it shows. */
async function walk(opened: Opened, program: 'find' | 'ls', args: readonly string[]): Promise<number> {
  try {
    const start = performance.now();
    const listing = await output(
      program,
      program === 'find' ? [opened.root, ...args] : [...args, opened.root],
    );
    const seconds = (performance.now() - start) / 1000;
    const files = listing
      .split('\n')
      .filter((line) => line.startsWith(program === 'find' ? '/' : '-')).length;
    return files ? (seconds * TENSORS) / files : Number.NaN;
  } finally {
    await opened.close();
  }
}
