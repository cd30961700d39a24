/** A checkpoint that is mounted for every user, for tests of what others may do. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import type { MountOptions } from '../../src/mount/mount-options.ts';
import { output } from './run.ts';
import { SECOND_USER, sharedDirectory } from './second-user.ts';
import type { Server, TransportName } from './served.ts';

const TENSORS = ['0.bias', '1.weight'].map((name) => ({
  name,
  dtype: 'float32' as const,
  shape: [4],
  fill: new Uint8Array(16).fill(7),
}));

export interface SharedMount {
  /** The mount point. */
  readonly path: string;
  /** A folder that every user can search; the checkpoint lies in it. */
  readonly folder: string;
  /** Where the files of /activations are on disk. */
  readonly disk: string;
  /** Runs a script for bash that must succeed, as root: `$M` is the mount point, `$T` the folder, `$D` the activations on disk. */
  root(script: string): Promise<string>;
  /** The same as the second user. */
  second(script: string): Promise<string>;
}

/** Mounts a checkpoint of two tensors, with allow_other unless `options` say otherwise. It is unmounted and removed with the test. */
export async function sharedMount(
  t: TestContext,
  server: Server,
  transport: TransportName,
  options: MountOptions = {},
): Promise<SharedMount> {
  let path = '';
  // Hooks run in the order of their making: first the unmount, then the removal of the folder.
  t.after(async () => {
    if (server.alive && path !== '') await server.unmount(path);
  });
  const folder = await sharedDirectory(t);
  const checkpoint = join(folder, 'model.pt');
  await writeTorchZip(checkpoint, { tensors: TENSORS });
  const at = join(folder, 'mount');
  await mkdir(at);
  await server.ask({ mount: checkpoint, at, options: { transport, allowOther: true, ...options } });
  path = at;
  const disk = `${checkpoint}.mlfs/activations`;
  const env = { ...process.env, M: at, T: folder, D: disk };
  const shell = (script: string, user?: { uid: number; gid: number }) =>
    output('bash', ['-euo', 'pipefail', '-c', script], { env, ...(user === undefined ? {} : { user }) });
  return { path: at, folder, disk, root: shell, second: (script) => shell(script, SECOND_USER) };
}
