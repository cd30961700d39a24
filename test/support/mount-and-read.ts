/** Mounts a checkpoint read-only, compares its export with it from another process, and prints the status: mount-and-read CHECKPOINT FOLDER. */
import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { mount } from '../../src/mount/mount.ts';

const [checkpoint = '', folder = ''] = process.argv.slice(2);
const run = promisify(execFile);
const mountpoint = await mkdtemp(join(folder, 'mount-'));
const mounted = await mount(checkpoint, mountpoint, { readOnly: true, transport: 'kernel' });
try {
  await run('cmp', [checkpoint, join(mountpoint, 'export/model.pt')]);
  process.stdout.write((await run('cat', [join(mountpoint, 'sys/status.json')])).stdout);
} finally {
  await mounted.unmount();
  await mounted.closed;
}
