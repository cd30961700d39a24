import { spawnSync } from 'node:child_process';
import path from 'node:path';
import type { MountOptions } from '../../src/mount/mount-options.ts';
import { servedBy } from '../../src/throughput/served-by.ts';
import { CLI, isInstalled, LIBRARY, output } from '../programs.ts';
import { launch, type Served, type ServerCommand, serve } from '../served.ts';
import type { Subject } from '../subject.ts';
import type { Driver, Opened, OpenOptions } from './driver.ts';

const LOCK_DEADLINE_SECONDS = 10;

interface Variant {
  readonly name: string;
  readonly about: string;
  readonly transport: 'kernel' | 'fuse-native';
  /** Of a read-only mount; a writable one never has a kernel view. */
  readonly kernelView?: 'auto' | 'off';
}

/** Mounts are as users have them, and without a state directory until the first edit. */
function mlfs({ name, about, transport, kernelView }: Variant): Driver {
  const readOnly = kernelView !== undefined;
  const how = () => [
    ...['--transport', transport],
    ...(readOnly ? ['--read-only'] : []),
    ...(readOnly ? ['--kernel-view', kernelView] : []),
  ];
  const library = () => ({ transport, readOnly, ...(readOnly && { kernelView }) });
  return {
    name,
    about,
    ...(!readOnly && { editable: true }),
    ...(kernelView === 'off' && { secondary: true }),
    missing: () => whyUnusable(transport),
    open: async (subject, options) => {
      const served = await serve({
        program: process.execPath,
        args: [CLI, 'mount', '--foreground', ...how(), ...flags(options), subject.path, '%MOUNTPOINT%'],
        cpus: options?.cpus,
      });
      if (kernelView === 'auto' && !options?.tinyFiles) await insistOnView(served);
      return opened(served, subject);
    },
    launch: async (subject, through, options) => {
      if (through === 'command') {
        const args = [CLI, 'mount', ...how(), ...flags(options), subject.path, '%MOUNTPOINT%'];
        const served = await launch({ program: process.execPath, args });
        const close = () => served.end().then(() => untilUnlocked(subject.path));
        return { ...opened(served, subject), close };
      }
      return opened(await serve(libraryProgram(library())(subject)), subject);
    },
  };
}

/** The data plane must not be measured as the kernel view. */
async function insistOnView(served: Served): Promise<void> {
  const { server, noKernelView } = await servedBy(served.mountpoint);
  if (server === 'kernel view') return;
  await served.end();
  throw new Error(`the kernel view cannot be had: ${noKernelView}`);
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
    tensorPaths: (subject.tensors ?? []).map((tensor) => path.join(served.mountpoint, ...tensor.mountPath)),
    ...(tiedPath === undefined ? {} : { tied: path.join(served.mountpoint, ...tiedPath) }),
    offset: 0,
    length,
    root: path.join(served.mountpoint, 'model'),
    documents: path.join(served.mountpoint, 'sys'),
    pid: served.pid,
    close: served.end,
  };
}

export const mlfsView: Driver = mlfs({
  name: 'mlfs view',
  about: 'MLFS, a read-only mount whose tensors the kernel reads itself',
  transport: 'kernel',
  kernelView: 'auto',
});

export const mlfsPlane: Driver = mlfs({
  name: 'mlfs plane',
  about: 'MLFS, a read-only mount on its own data plane',
  transport: 'kernel',
  kernelView: 'off',
});

export const mlfsKernel: Driver = mlfs({
  name: 'mlfs kernel',
  about: 'MLFS, a writable mount, on its own data plane',
  transport: 'kernel',
});

export const mlfsFuseNative: Driver = mlfs({
  name: 'mlfs fuse-native',
  about: 'MLFS, a writable mount, on the fuse-native package',
  transport: 'fuse-native',
});

function whyUnusable(transport: 'kernel' | 'fuse-native'): string | undefined {
  if (!isInstalled(CLI)) return 'not built (npm run build)';
  return transport === 'kernel' || fuseNativeLoads() ? undefined : 'does not load (fuse-native)';
}

let loads: boolean | undefined;

/** Asks as the product does: the package's own library if the machine has no libfuse2. In another process, because a bad addon may end it. */
function fuseNativeLoads(): boolean {
  const args = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', LOADS_FUSE_NATIVE];
  loads ??= spawnSync(process.execPath, args, { stdio: 'ignore' }).status === 0;
  return loads;
}

const LOADS_FUSE_NATIVE = `
  import { loadFuseNative } from ${JSON.stringify(import.meta.resolve('../../src/fuse/transport/fuse-native-module.ts'))};
  loadFuseNative();
`;
