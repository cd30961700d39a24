import path from 'node:path';
import { isInstalled, STORE } from '../programs.ts';
import { serve } from '../served.ts';
import type { Driver } from './driver.ts';
import { plainFiles, settle } from './plain-files.ts';

interface Variant {
  readonly name: string;
  readonly about: string;
  readonly args: readonly string[];
}

/** As for reading, the best of them counts in each row. */
const VARIANTS: readonly Variant[] = [
  {
    name: 'c-loop store',
    about: 'libfuse3 low-level loop that writes to the same plain files as native, one thread',
    args: [],
  },
  {
    name: 'c-loop store-splice',
    about: 'the same, large writes spliced from the device to the file',
    args: ['--splice'],
  },
  {
    name: 'c-loop store-threads',
    about: 'the same, four threads with a device descriptor each',
    args: ['--threads', '4', '--clone-fd'],
  },
];

export const writeLoops: readonly Driver[] = VARIANTS.map(({ name, about, args }) => ({
  name,
  about,
  tensorOnly: true,
  editable: true,
  overwriteOnly: true,
  missing: () => (isInstalled(STORE) ? undefined : 'not installed (libfuse3-dev)'),
  open: async (subject, options) => {
    const plain = await plainFiles(subject);
    const range = ['--offset', String(plain.offset), '--length', String(plain.length)];
    const { mountpoint, pid, end } = await serve({
      program: STORE,
      args: ['%MOUNTPOINT%', ...plain.files, ...range, ...args],
      cpus: options?.cpus,
    });
    const served = plain.files.map((_, index) => path.join(mountpoint, `${index}.bin`));
    return {
      path: path.join(mountpoint, '0.bin'),
      tensorPaths: served,
      offset: 0,
      length: plain.length,
      root: mountpoint,
      pid,
      close: async () => {
        await end();
        await settle(plain);
      },
    };
  },
}));
