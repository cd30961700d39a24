import { spawnSync } from 'node:child_process';
import path from 'node:path';
import type { MountOptions } from '../../src/mount.ts';
import { CLI, isInstalled, LIBRARY } from '../programs.ts';
import { launch, type Served, type ServerCommand, serve } from '../served.ts';
import type { Subject } from '../subject.ts';
import type { Driver, Opened } from './driver.ts';

function mlfs(transport: 'kernel' | 'fuse-native', about: string): Driver {
  return {
    name: `mlfs ${transport}`,
    about,
    missing: () => whyUnusable(transport),
    open: async (subject, options) => {
      const served = await serve({
        program: process.execPath,
        args: [CLI, 'mount', '--foreground', '--transport', transport, subject.path, '%MOUNTPOINT%'],
        cpus: options?.cpus,
      });
      return opened(served, subject);
    },
    launch: async (subject, how) => {
      if (how === 'command') {
        const args = [CLI, 'mount', '--transport', transport, subject.path, '%MOUNTPOINT%'];
        return opened(await launch({ program: process.execPath, args }), subject);
      }
      return opened(await serve(libraryProgram({ transport })(subject)), subject);
    },
  };
}

/** A program of a user's that mounts a checkpoint with the library and stays until the mount is gone. */
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
  return {
    path: path.join(served.mountpoint, ...subject.tensor.mountPath),
    offset: 0,
    length: subject.tensor.length,
    root: path.join(served.mountpoint, 'model'),
    pid: served.pid,
    close: served.end,
  };
}

export const mlfsKernel: Driver = mlfs('kernel', 'MLFS, its own data plane on the FUSE device');
export const mlfsFuseNative: Driver = mlfs('fuse-native', 'MLFS on the fuse-native package');

function whyUnusable(transport: 'kernel' | 'fuse-native'): string | undefined {
  if (!isInstalled(CLI)) return 'not built (npm run build)';
  if (transport === 'kernel') return undefined;
  const probe = spawnSync(process.execPath, ['--input-type=module', '-e', "import 'fuse-native'"], {
    cwd: path.dirname(CLI),
    stdio: 'ignore',
  });
  return probe.status === 0 ? undefined : 'not installed (fuse-native)';
}
