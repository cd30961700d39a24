/** Mounts a checkpoint read-only, compares its export with it from another process, and prints a MountReport: mount-and-read CHECKPOINT FOLDER. */
import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { mount } from '../../src/mount/mount.ts';
import type { StatusDocument } from '../../src/targets/status-document.ts';

export interface MountReport {
  readonly status: StatusDocument;
  readonly log: string;
}

const [checkpoint = '', folder = ''] = process.argv.slice(2);
const run = promisify(execFile);
const mountpoint = await mkdtemp(join(folder, 'mount-'));
const mounted = await mount(checkpoint, mountpoint, { readOnly: true, transport: 'kernel' });
try {
  await run('cmp', [checkpoint, join(mountpoint, 'export/model.pt')]);
  const read = async (file: string) => (await run('cat', [join(mountpoint, file)])).stdout;
  const report: MountReport = {
    status: JSON.parse(await read('sys/status.json')),
    log: await read('logs/fuse.log'),
  };
  process.stdout.write(JSON.stringify(report));
} finally {
  await mounted.unmount();
  await mounted.closed;
}
