/** Is FUSE usable here, and if not, what to do: facts about the machine, found without mounting anything. */
import { constants, existsSync, type Stats } from 'node:fs';
import { access, open, readFile, stat } from 'node:fs/promises';
import { release } from 'node:os';
import { delimiter, join } from 'node:path';
import { messageOf } from '../errors.ts';
import { loadNative, nativeLoadError } from '../storage/native.ts';
import { rootHas } from './capabilities.ts';
import type { Finding } from './finding.ts';
import { kernelViewFinding } from './kernel-view-finding.ts';
import {
  asRoot,
  buildAddonCommand,
  deviceCommand,
  installCommand,
  privilegeCommand,
  quoted,
} from './repair-commands.ts';

/** Every check, in the order in which a mount would fail. */
export async function diagnose(): Promise<Finding[]> {
  const native = await nativeFinding();
  const portable = await portableFinding();
  const neither = native.state !== 'ok' && portable.state !== 'ok';
  return [
    nodeFinding(),
    kernelFinding(),
    neither ? { ...native, state: 'problem' } : native,
    portable,
    ...(await deviceFindings()),
    ...(await privilegeFindings()),
    await allowOtherFinding(),
    await kernelViewFinding(),
  ];
}

function nodeFinding(): Finding {
  const major = Number(process.versions.node.split('.')[0]);
  const detail = `${process.version} on ${process.platform} ${process.arch}`;
  if (process.platform !== 'linux') {
    return {
      name: 'platform',
      state: 'problem',
      detail,
      advice: 'mlfs mounts on Linux; ls, info, cat and verify work anyway',
    };
  }
  return major >= 20
    ? { name: 'node', state: 'ok', detail }
    : { name: 'node', state: 'problem', detail, advice: 'install Node 20 or newer' };
}

/** FUSE 7.31, the oldest protocol we support in full, came with Linux 5.4. */
const OLDEST_KERNEL = [5, 4] as const;

function kernelFinding(): Finding {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const old = major < OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor < OLDEST_KERNEL[1]);
  return old
    ? {
        name: 'kernel',
        state: 'note',
        detail: release(),
        advice: 'use Linux 5.4 or newer: mlfs is not tested with older kernels',
      }
    : { name: 'kernel', state: 'ok', detail: release() };
}

async function nativeFinding(): Promise<Finding> {
  if (loadNative() !== undefined)
    return { name: 'addon', state: 'ok', detail: 'the kernel transport is built and loads' };
  return {
    name: 'addon',
    state: 'note',
    detail: `the kernel transport is not available: ${nativeLoadError()}`,
    command: buildAddonCommand(await missingBuildTools()),
    advice: 'until it is built, mounts use fuse-native, which is slower',
  };
}

/** The programs that node-gyp needs, under the names of Debian's packages. */
async function missingBuildTools(): Promise<string[]> {
  const missing: string[] = [];
  for (const program of ['g++', 'make', 'python3']) {
    if ((await findProgram(program)) === undefined) missing.push(program);
  }
  return missing;
}

async function portableFinding(): Promise<Finding> {
  try {
    const { loadFuseNative } = await import('../fuse/transport/fuse-native-module.ts');
    loadFuseNative();
    return { name: 'fuse-native', state: 'ok', detail: 'the portable transport loads' };
  } catch (error) {
    const why = messageOf(error);
    return { name: 'fuse-native', state: 'note', detail: `the portable transport does not load: ${why}` };
  }
}

const DEVICE = '/dev/fuse';

async function deviceFindings(): Promise<Finding[]> {
  const root = process.getuid?.() === 0;
  const failure = await open(DEVICE, 'r+').then(
    async (handle) => void (await handle.close()),
    (error: NodeJS.ErrnoException) => error,
  );
  const fusermount = await programFinding(root);
  const name = DEVICE;
  if (failure === undefined) return [{ name, state: 'ok', detail: 'exists and can be opened' }, fusermount];
  if (failure.code === 'ENOENT') {
    return [{ name, state: 'problem', detail: 'does not exist', command: await deviceCommand() }, fusermount];
  }
  if (failure.code === 'ENODEV' || failure.code === 'ENXIO') {
    return [{ name, state: 'problem', detail: 'has no driver', command: await deviceCommand() }, fusermount];
  }
  // EPERM comes from the container's list of devices; any other error from the file's mode. fusermount3 opens the device as the calling
  // user.
  const command = failure.code === 'EPERM' ? privilegeCommand() : asRoot(`chmod 666 ${DEVICE}`);
  return [{ name, state: 'problem', detail: `cannot be opened: ${failure.code}`, command }, fusermount];
}

/** mount(2) needs CAP_SYS_ADMIN, for root and for the setuid program fusermount3. */
async function privilegeFindings(): Promise<Finding[]> {
  if (await rootHas('SYS_ADMIN')) return [];
  const detail = 'mounting is not allowed here: CAP_SYS_ADMIN was taken away, as containers do';
  return [{ name: 'privilege', state: 'problem', detail, command: privilegeCommand() }];
}

async function programFinding(root: boolean): Promise<Finding> {
  const name = 'fusermount3';
  const command = installCommand(['fuse3']);
  const found = await findProgram(name);
  if (found === undefined) {
    const detail = root ? 'is not installed; root does not need it' : 'is not installed';
    return { name, state: root ? 'note' : 'problem', detail, command };
  }
  if (!root && (found.stats.mode & constants.S_IFMT) !== 0 && (found.stats.mode & SETUID) === 0) {
    return {
      name,
      state: 'problem',
      detail: `${found.path} is not setuid root`,
      command: asRoot(`chmod u+s ${quoted(found.path)}`),
    };
  }
  if (!root && !existsSync(MOUNT_TABLE)) {
    const detail = `cannot unmount: ${MOUNT_TABLE} does not exist`;
    return { name, state: 'problem', detail, command: asRoot(`ln -s ../proc/self/mounts ${MOUNT_TABLE}`) };
  }
  return { name, state: 'ok', detail: found.path };
}

/** fusermount3 reads this file to find the owner of a mount. Debian makes it at the first boot. */
const MOUNT_TABLE = '/etc/mtab';

const SETUID = 0o4000;

async function findProgram(name: string): Promise<{ path: string; stats: Stats } | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    try {
      await access(path, constants.X_OK);
      return { path, stats: await stat(path) };
    } catch (error) {
      if (!(error instanceof Error)) throw error;
    }
  }
  return undefined;
}

async function allowOtherFinding(): Promise<Finding> {
  const name = '-o allow_other';
  if (process.getuid?.() === 0) return { name, state: 'ok', detail: 'root may always let other users in' };
  const text = await readFile('/etc/fuse.conf', 'utf8').catch(() => '');
  if (/^\s*user_allow_other\s*$/m.test(text))
    return { name, state: 'ok', detail: 'user_allow_other is in /etc/fuse.conf' };
  return {
    name,
    state: 'note',
    detail: 'only root may let other users into a mount here',
    advice: 'put the line user_allow_other into /etc/fuse.conf',
  };
}
