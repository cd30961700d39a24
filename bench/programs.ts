import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const benchDirectory = path.dirname(fileURLToPath(import.meta.url));

export const RESULTS_DIRECTORY = path.join(benchDirectory, 'results');
export const CLI = path.join(benchDirectory, '..', 'dist', 'cli', 'main.js');
export const LIBRARY = path.join(benchDirectory, '..', 'dist', 'index.js');
export const READER = path.join(benchDirectory, 'build', 'reader');
export const WRITER = path.join(benchDirectory, 'build', 'writer');
export const CEILING = path.join(benchDirectory, 'build', 'ceiling');
export const STORE = path.join(benchDirectory, 'build', 'store');
export const TREE_LOOP = path.join(benchDirectory, 'build', 'tree');

/** Builds the reader, the writer and, if libfuse3-dev is installed, the C loops. Throws if there is no compiler: then nothing can be measured. */
export function buildPrograms(): void {
  execFileSync(path.join(benchDirectory, 'build.sh'), { stdio: ['ignore', 'inherit', 'inherit'] });
}

export function isInstalled(program: string): boolean {
  if (program.includes('/')) return existsSync(program);
  return spawnSync('which', [program], { stdio: 'ignore' }).status === 0;
}

/** Runs a program to its end and returns its output. Throws with the last line of its stderr if it fails. */
export async function output(program: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run(program, args, { maxBuffer: 64 << 20 });
    return stdout;
  } catch (cause) {
    const { stderr } = cause as { stderr?: string };
    const complaint = stderr?.trim().split('\n').at(-1);
    throw complaint ? new Error(complaint, { cause }) : cause;
  }
}
