import { spawnSync } from 'node:child_process';
import path from 'node:path';
import type { MountOptions } from '../../src/mount/mount-options.ts';
import { CLI, isInstalled, LIBRARY, output } from '../programs.ts';
import { launch, type Served, type ServerCommand, serve } from '../served.ts';
import type { Subject } from '../subject.ts';
import type { Driver, Opened, OpenOptions } from './driver.ts';

const LOCK_DEADLINE_SECONDS = 10;

interface ReadOnly {
  readonly name: string;
  readonly kernelView: 'auto' | 'off';
}

/** Mounts are as users have them: read-write, and without a state directory until the first edit; or read-only, with a kernel view or without. */
function mlfs(transport: 'kernel' | 'fuse-native', about: string, readOnly?: ReadOnly): Driver {
  const mode = readOnly === undefined ? [] : ['--read-only', '--kernel-view', readOnly.kernelView];
  const options = readOnly === undefined ? {} : { readOnly: true, ...readOnly };
  return {
    name: readOnly?.name ?? `mlfs ${transport}`,
    about,
    editable: readOnly === undefined,
    missing: () => whyUnusable(transport),
    open: async (subject, given) => {
      const how = ['--transport', transport, ...mode, ...flags(given)];
      const served = await serve({
        program: process.execPath,
        args: [CLI, 'mount', '--foreground', ...how, subject.path, '%MOUNTPOINT%'],
        cpus: given?.cpus,
      });
      return opened(served, subject);
    },
    launch: async (subject, how) => {
      if (how === 'command') {
        const args = [CLI, 'mount', '--transport', transport, ...mode, subject.path, '%MOUNTPOINT%'];
        const served = await launch({ program: process.execPath, args });
        const close = () => served.end().then(() => untilUnlocked(subject.path));
        return { ...opened(served, subject), close };
      }
      return opened(await serve(libraryProgram({ transport, ...options })(subject)), subject);
    },
  };
}

function flags(options: OpenOptions = {}): string[] {
  const { state, cacheSize } = options;
  return [
    ...(state === undefined ? [] : ['--state', state]),
    ...(cacheSize === undefined ? [] : ['--cache-size', cacheSize]),
  ];
}

/** A server that was left behind ends a little after its mount, and the checkpoint is locked until then. */
async function untilUnlocked(checkpoint: string): Promise<void> {
  await output('flock', ['--timeout', String(LOCK_DEADLINE_SECONDS), checkpoint, 'true']);
}

/** A user's program that mounts a checkpoint with the library and stays until the mount is gone. */
const LIBRARY_PROGRAM = `
  import { mount } from ${JSON.stringify(LIBRARY)};
  const [checkpoint, mountpoint, options] = process.argv.slice(1);
  const mounted = await mount(checkpoint, mountpoint, JSON.parse(options));
  await mounted.closed;
`;

function libraryProgram(options: MountOptions): (subject: Subject) => ServerCommand {
  return (subject) => ({
    program: process.execPath,
    args: [
      '--input-type=module',
      '-e',
      LIBRARY_PROGRAM,
      subject.path,
      '%MOUNTPOINT%',
      JSON.stringify(options),
    ],
  });
}

function opened(served: Served, subject: Subject): Opened {
  const { mountPath, tiedPath, length } = subject.tensor;
  return {
    path: path.join(served.mountpoint, ...mountPath),
    ...(tiedPath === undefined ? {} : { tied: path.join(served.mountpoint, ...tiedPath) }),
    offset: 0,
    length,
    root: path.join(served.mountpoint, 'model'),
    documents: path.join(served.mountpoint, 'sys'),
    pid: served.pid,
    close: served.end,
  };
}

export const mlfsKernel: Driver = mlfs('kernel', 'MLFS, its own data plane on the FUSE device');
export const mlfsKernelView: Driver = mlfs('kernel', 'MLFS read-only, the kernel reads by itself', {
  name: 'mlfs kernel view',
  kernelView: 'auto',
});
export const mlfsReadOnly: Driver = mlfs('kernel', 'MLFS read-only, with --kernel-view off', {
  name: 'mlfs read-only',
  kernelView: 'off',
});
export const mlfsFuseNative: Driver = mlfs('fuse-native', 'MLFS on the fuse-native package');

function whyUnusable(transport: 'kernel' | 'fuse-native'): string | undefined {
  if (!isInstalled(CLI)) return 'not built (npm run build)';
  if (transport === 'kernel') return undefined;
  const probe = spawnSync(process.execPath, ['--input-type=module', '-e', LOADS_FUSE_NATIVE], {
    stdio: 'ignore',
  });
  return probe.status === 0 ? undefined : 'does not load (fuse-native)';
}

/** Loads it as the product does: the package's own library if the machine has no libfuse2. In another process, because a bad addon may end it. */
const LOADS_FUSE_NATIVE = `
  import { loadFuseNative } from ${JSON.stringify(path.join(path.dirname(CLI), '../fuse/transport/fuse-native-module.js'))};
  loadFuseNative();
`;
