/** Can a read-only mount let the kernel read tensors by itself here? A trial view is attached, and the missing part is named. */
import { closeSync, readFileSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { messageOf } from '../errors.ts';
import { erofsImage } from '../kernel-view/erofs-image.ts';
import { FileRangesBuilder } from '../kernel-view/file-ranges.ts';
import { atOnce } from '../storage/in-slices.ts';
import { loadNative } from '../storage/native.ts';
import { unnamedFile } from '../storage/unnamed-file.ts';
import { rootHas } from './capabilities.ts';
import type { Finding } from './finding.ts';
import { asRoot } from './repair-commands.ts';

const NAME = 'kernel view';
/** The first Linux with FUSE passthrough. */
const PASSTHROUGH_KERNEL = [6, 9] as const;

export async function kernelViewFinding(): Promise<Finding> {
  const missing = await missingPart();
  if (missing !== undefined) {
    return {
      advice: 'without it read-only mounts work, and reading is slower',
      ...missing,
      name: NAME,
      state: 'note',
    };
  }
  const failure = await trialView();
  if (failure === undefined) {
    return { name: NAME, state: 'ok', detail: 'the kernel can read tensors of read-only mounts by itself' };
  }
  return { name: NAME, state: 'note', detail: `it cannot be attached: ${failure}` };
}

async function missingPart(): Promise<Pick<Finding, 'detail' | 'command' | 'advice'> | undefined> {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const [wantedMajor, wantedMinor] = PASSTHROUGH_KERNEL;
  if (major < wantedMajor || (major === wantedMajor && minor < wantedMinor)) {
    return { detail: `the kernel has no FUSE passthrough: Linux ${PASSTHROUGH_KERNEL.join('.')} has it` };
  }
  if (loadNative() === undefined) return { detail: 'the kernel transport is not available' };
  if (process.geteuid?.() !== 0) return { detail: 'only mounts by root can have it' };
  if (!(await rootHas('SYS_ADMIN')))
    return { detail: 'root lacks CAP_SYS_ADMIN here, as in most containers' };
  const control = await open('/dev/loop-control', 'r+').then(
    (handle) => handle.close(),
    (error: NodeJS.ErrnoException) => error.code,
  );
  if (typeof control === 'string') {
    return {
      detail: `there are no loop devices: /dev/loop-control: ${control}`,
      command: asRoot('modprobe loop'),
      advice: 'a container gets them with docker run -v /dev:/dev',
    };
  }
  const filesystems = await readFile('/proc/filesystems', 'utf8').catch(() => '');
  if (!/\terofs$/m.test(filesystems) && !hasModule('erofs')) {
    return { detail: 'the kernel does not know the file system erofs', command: asRoot('modprobe erofs') };
  }
  return undefined;
}

/** The kernel loads a module by itself when a file system is mounted. */
function hasModule(name: string): boolean {
  try {
    return readFileSync(`/lib/modules/${release()}/modules.dep`, 'utf8').includes(`/${name}.ko`);
  } catch {
    return false;
  }
}

const TRIAL_BYTES = 64 * 1024;
const TRIAL_OFFSET = 64;

/** Reads a range of a file through a view; the reason why it cannot. */
async function trialView(): Promise<string | undefined> {
  try {
    const bytes = Buffer.alloc(TRIAL_BYTES, 'trial of a view. ');
    const ranges = new FileRangesBuilder();
    ranges.add(1, TRIAL_OFFSET, TRIAL_BYTES - TRIAL_OFFSET);
    const { bytes: image, copies, begins } = atOnce(erofsImage(ranges.finish(), TRIAL_BYTES));
    // Nothing of it stays when this process is ended.
    const file = await unnamedFile(tmpdir());
    try {
      await file.write(0, [bytes]);
      const fd = file.fd as number;
      const root = await loadNative()?.mountView(fd, TRIAL_BYTES, image, copies, begins);
      if (root === undefined) return 'the kernel transport is not available';
      return await readTrial(root, bytes.subarray(TRIAL_OFFSET));
    } finally {
      await file.close();
    }
  } catch (cause) {
    return messageOf(cause);
  }
}

async function readTrial(root: number, wanted: Buffer): Promise<string | undefined> {
  try {
    const read = await readFile(`/proc/self/fd/${root}/00000001`);
    return read.equals(wanted) ? undefined : 'a file in the trial view has wrong bytes';
  } finally {
    closeSync(root);
  }
}
