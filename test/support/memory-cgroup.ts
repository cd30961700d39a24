import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MEMORY_CGROUP } from './requires.ts';

let made = 0;

/** A group of processes whose memory, their page cache included, is limited by the kernel (cgroup v1). */
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

  /** Words to put before a program and its arguments, so that it starts in the group. */
  get launcher(): readonly [program: string, ...args: string[]] {
    const script =
      "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); os.execvp(sys.argv[2], sys.argv[2:])";
    return ['python3', '-c', script, join(this.#path, 'cgroup.procs')];
  }

  /** The most memory the group ever used, in bytes. */
  async peak(): Promise<number> {
    return Number(await readFile(join(this.#path, 'memory.max_usage_in_bytes'), 'utf8'));
  }

  /** How often the kernel killed one of the group for want of memory. */
  async kills(): Promise<number> {
    const control = await readFile(join(this.#path, 'memory.oom_control'), 'utf8');
    return Number(/^oom_kill (\d+)$/m.exec(control)?.[1] ?? 0);
  }

  /** Everybody must have left. */
  async remove(): Promise<void> {
    await rmdir(this.#path);
  }
}
