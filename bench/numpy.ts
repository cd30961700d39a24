import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { throwIfInterrupted, undoable } from './interrupt.ts';
import { endChild } from './programs.ts';

const SCRIPT = fileURLToPath(new URL('numpy-timings.py', import.meta.url));

/** All that MLFS computes in one pass. */
export const NUMPY_STATISTICS = [
  'min',
  'max',
  'mean',
  'std',
  'isnan',
  'isinf',
  'zeros',
  'histogram',
] as const;

/** Where the bytes of a tensor are. Sizes in bytes. */
export interface NumpyTensor {
  readonly file: string;
  /** numpy's name, such as `<f4`. */
  readonly dtype: string;
  readonly offset: number;
  readonly length: number;
  /** The number of elements that become text. */
  readonly textCount: number;
}

let found: { readonly python: string | undefined } | undefined;

/** A Python that has numpy: the one on the PATH, or Debian's; undefined if neither has it. */
export function pythonWithNumpy(): string | undefined {
  found ??= { python: ['python3', '/usr/bin/python3'].find(importsNumpy) };
  return found.python;
}

function importsNumpy(python: string): boolean {
  return spawnSync(python, ['-c', 'import numpy'], { stdio: 'ignore' }).status === 0;
}

/** A process that has loaded a tensor and answers one question at a time. */
export class Numpy {
  readonly version: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** Ends the process. */
  readonly end: () => Promise<void>;

  private constructor(
    child: ChildProcess,
    lines: AsyncIterator<string>,
    version: string,
    end: () => Promise<void>,
  ) {
    this.end = end;
    this.#child = child;
    this.#lines = lines;
    this.version = version;
  }

  static async start(python: string, tensor: NumpyTensor): Promise<Numpy> {
    const { file, dtype, offset, length, textCount } = tensor;
    throwIfInterrupted();
    const child = spawn(python, [SCRIPT, file, dtype, String(offset), String(length), String(textCount)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const end = undoable(() => endChild(child));
    try {
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      return new Numpy(child, lines, await next(lines), end);
    } catch (cause) {
      await end();
      throw cause;
    }
  }

  /** Seconds. */
  async time(name: string): Promise<number> {
    this.#child.stdin?.write(`${name}\n`);
    return Number(await next(this.#lines));
  }
}

async function next(lines: AsyncIterator<string>): Promise<string> {
  const { done, value } = await lines.next();
  if (done) throw new Error('numpy ended: is python3-numpy installed?');
  return value;
}
