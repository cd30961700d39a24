import path from 'node:path';
import { isInstalled } from '../programs.ts';
import { launch, serve } from '../served.ts';
import type { Driver } from './driver.ts';

/** What people use today to look into a .pt without torch: the zip as a directory. Walks get a zip with the tree of /model. */
export const fuseZip: Driver = {
  name: 'fuse-zip',
  about: 'fuse-zip -r, the checkpoint as a plain zip',
  lookOnly: true,
  launch: async (subject, how) => {
    if (how === 'library') return undefined;
    const served = await launch({ program: 'fuse-zip', args: ['-r', subject.path, '%MOUNTPOINT%'] });
    return {
      path: path.join(served.mountpoint, subject.tensor.entry),
      offset: 0,
      length: subject.tensor.length,
      root: served.mountpoint,
      close: served.end,
    };
  },
  missing: () => (isInstalled('fuse-zip') ? undefined : 'not installed (fuse-zip)'),
  open: async (subject, options) => {
    const served = await serve({
      program: 'fuse-zip',
      args: ['-r', '-f', subject.sameTreeZip ?? subject.path, '%MOUNTPOINT%'],
      cpus: options?.cpus,
    });
    return {
      path: path.join(served.mountpoint, subject.tensor.entry),
      offset: 0,
      length: subject.tensor.length,
      root: served.mountpoint,
      pid: served.pid,
      close: served.end,
    };
  },
};
