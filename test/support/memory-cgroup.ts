import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MEMORY_CGROUP } from './requires.ts';

let made = 0;

/** A group of processes whose memory, including their page cache, the kernel limits (cgroup v1). */
export class MemoryCgroup {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  static async create(limitBytes: number): Promise<MemoryCgroup> {
    const path = join(MEMORY_CGROUP, `mlfs-test-${process.pid}-${++made}`);
    await mkdir(path);
    const group = new MemoryCgroup(path);
    await writeFile(join(path, 'memory.limit_in_bytes'), String(limitBytes));
    return group;
  }

  /** Words in front of a program and its arguments that start it in the group. */
  get launcher(): readonly [program: string, ...args: string[]] {
    const script =
      "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); os.execvp(sys.argv[2], sys.argv[2:])";
    return ['python3', '-c', script, join(this.#path, 'cgroup.procs')];
  }

  /** The maximum memory of the group so far, in bytes. */
  async peak(): Promise<number> {
    return Number(await readFile(join(this.#path, 'memory.max_usage_in_bytes'), 'utf8'));
  }

  /** How often the kernel killed a process of the group because memory was short. */
  async kills(): Promise<number> {
    const control = await readFile(join(this.#path, 'memory.oom_control'), 'utf8');
    return Number(/^oom_kill (\d+)$/m.exec(control)?.[1] ?? 0);
  }

  /** All processes must have left the group. */
  async remove(): Promise<void> {
    await rmdir(this.#path);
  }
}
