/** A checkpoint that is mounted for writing, for tests that let real programs edit it. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  type NamedTensorToWrite,
  type TorchZipSpec,
  writeTorchZip,
} from '../../src/checkpoint/torch/writer.ts';
import type { MountOptions } from '../../src/mount/mount-options.ts';
import type { StatusDocument } from '../../src/targets/status-document.ts';
import { DEBIAN_PYTHON } from './requires.ts';
import { type Outcome, output, type RunOptions, run } from './run.ts';
import type { Server, TransportName } from './served.ts';
import { temporaryDirectory } from './tmp.ts';

/** The tensors of a checkpoint, or what writes it. */
export type CheckpointSpec =
  | TorchZipSpec
  | readonly NamedTensorToWrite[]
  | ((path: string) => Promise<unknown>);

export class WritableMount {
  readonly server: Server;
  readonly checkpoint: string;
  /** The mount point. */
  readonly path: string;
  /** The checkpoint lies in it, and whatever else the test needs. */
  readonly folder: string;

  /** Every mount point of the test, to be unmounted at its end. */
  readonly #mountpoints: string[];

  private constructor(
    server: Server,
    checkpoint: string,
    path: string,
    folder: string,
    mountpoints: string[],
  ) {
    this.server = server;
    this.checkpoint = checkpoint;
    this.path = path;
    this.folder = folder;
    this.#mountpoints = mountpoints;
    mountpoints.push(path);
  }

  /** Writes a checkpoint and mounts it. It is unmounted and removed with the test. */
  static async create(
    t: TestContext,
    server: Server,
    transport: TransportName,
    spec: CheckpointSpec,
    options: Omit<MountOptions, 'transport'> = {},
  ): Promise<WritableMount> {
    const mountpoints: string[] = [];
    // Hooks run in the order of their making: first the unmount, then the removal of the folder.
    t.after(async () => {
      for (const mountpoint of mountpoints) if (server.alive) await server.unmount(mountpoint);
    });
    const folder = await temporaryDirectory(t);
    const checkpoint = join(folder, 'model.pt');
    if (typeof spec === 'function') await spec(checkpoint);
    else await writeTorchZip(checkpoint, 'length' in spec ? { tensors: spec } : spec);
    const { path } = await server.mount(checkpoint, { transport, ...options });
    return new WritableMount(server, checkpoint, path, folder, mountpoints);
  }

  /** The same as it is after an unmount and a new mount. */
  async again(transport: TransportName, options: MountOptions = {}): Promise<WritableMount> {
    await this.server.unmount(this.path);
    const { path } = await this.server.mount(this.checkpoint, { transport, ...options });
    return new WritableMount(this.server, this.checkpoint, path, this.folder, this.#mountpoints);
  }

  /** A path below /model. */
  model(...names: string[]): string {
    return join(this.path, 'model', ...names);
  }

  /** Where the edits are kept. */
  get stateDirectory(): string {
    return `${this.checkpoint}.mlfs`;
  }

  /** A script for bash: `$M` is the mount point, `$T` the test's folder. */
  shell(script: string, options: RunOptions = {}): Promise<Outcome> {
    return run('bash', ['-c', script], { ...options, env: this.#env(options) });
  }

  /** The same of a script that must succeed. */
  shellOutput(script: string, options: RunOptions = {}): Promise<string> {
    return output('bash', ['-euo', 'pipefail', '-c', script], { ...options, env: this.#env(options) });
  }

  /** A script for Debian's Python, which must succeed: `M` and `T` as in `shell`, `args` as strings. */
  python(script: string, ...args: (string | number)[]): Promise<string> {
    const prelude = 'import errno, json, os, sys\nM, T, args = sys.argv[1], sys.argv[2], sys.argv[3:]\n';
    return output(DEBIAN_PYTHON, ['-c', prelude + script, this.path, this.folder, ...args.map(String)]);
  }

  async status(): Promise<StatusDocument> {
    return JSON.parse(await readFile(join(this.path, 'sys/status.json'), 'utf8'));
  }

  /** Writes a line into /sys/control and resolves with the answer. */
  async control(line: string): Promise<Record<string, unknown>> {
    const script = `
fd = os.open(M + '/sys/control', os.O_RDWR)
os.write(fd, args[0].encode())
print(os.read(fd, 1 << 20).decode())
`;
    return JSON.parse(await this.python(script, `${line}\n`));
  }

  async log(): Promise<string> {
    return readFile(join(this.path, 'logs/fuse.log'), 'utf8');
  }

  #env(options: RunOptions): NodeJS.ProcessEnv {
    return { ...process.env, M: this.path, T: this.folder, ...options.env };
  }
}
