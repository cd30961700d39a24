import path from 'node:path';
import { CEILING, isInstalled } from '../programs.ts';
import { serve } from '../served.ts';
import type { Driver } from './driver.ts';

interface Variant {
  readonly name: string;
  readonly about: string;
  readonly args: readonly string[];
  readonly readAheadKb?: number;
}

/** The best loop depends on the workload, so several run, and the report takes the best of each. */
const VARIANTS: readonly Variant[] = [
  {
    name: 'c-loop plain',
    about: 'libfuse3 low-level loop over a mapping, one thread, default readahead',
    args: [],
  },
  {
    name: 'c-loop tuned',
    about: 'the same, advice by request size, read_ahead_kb 4096',
    args: ['--advice', 'by-size'],
    readAheadKb: 4096,
  },
  {
    name: 'c-loop threads',
    about: 'the same, two threads with a device descriptor each',
    args: ['--advice', 'by-size', '--threads', '2', '--clone-fd'],
    readAheadKb: 4096,
  },
];

export const cLoops: readonly Driver[] = VARIANTS.map((variant) => ({
  name: variant.name,
  about: variant.about,
  tensorOnly: true,
  missing: () => (isInstalled(CEILING) ? undefined : 'not installed (libfuse3-dev)'),
  open: async (subject, options) => {
    const { offset, length } = subject.tensor;
    const range = ['--offset', String(offset), '--length', String(length)];
    const served = await serve({
      program: CEILING,
      args: [subject.path, '%MOUNTPOINT%', ...range, ...variant.args],
      cpus: options?.cpus,
      readAheadKb: variant.readAheadKb,
    });
    return {
      path: path.join(served.mountpoint, 'tensor.bin'),
      offset: 0,
      length,
      root: served.mountpoint,
      pid: served.pid,
      close: served.end,
    };
  },
}));
