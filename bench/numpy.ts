import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('numpy-timings.py', import.meta.url));

/** A process that has loaded a tensor and answers one question at a time. */
export class Numpy {
  readonly version: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess, lines: AsyncIterator<string>, version: string) {
    this.#child = child;
    this.#lines = lines;
    this.version = version;
  }

  /** `dtype` is numpy's name; `textCount` is the number of elements that become text. */
  static async start(python: string, file: string, dtype: string, textCount: number): Promise<Numpy> {
    const child = spawn(python, [SCRIPT, file, dtype, String(textCount)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return new Numpy(child, lines, (await next(lines)) ?? '');
  }

  /** Seconds. */
  async time(name: string): Promise<number> {
    this.#child.stdin?.write(`${name}\n`);
    return Number(await next(this.#lines));
  }

  end(): void {
    this.#child.stdin?.end();
  }
}

async function next(lines: AsyncIterator<string>): Promise<string> {
  const { done, value } = await lines.next();
  if (done) throw new Error('numpy ended: is python3-numpy installed?');
  return value;
}
