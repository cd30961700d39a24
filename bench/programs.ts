import { type ChildProcess, execFile, execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { undoable } from './interrupt.ts';

const run = promisify(execFile);
const END_DEADLINE_MS = 10_000;
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

/**
 * Runs a program to its end and returns its output. Throws with the last line of its stderr if it fails; an exit code that is `expected` is no
 * failure. If the bench is interrupted, the program is ended first: what it writes is removed after it.
 */
export async function output(
  program: string,
  args: readonly string[],
  { expected = 0 }: { readonly expected?: number } = {},
): Promise<string> {
  const running = run(program, args, { maxBuffer: 64 << 20 });
  const end = undoable(() => endChild(running.child));
  try {
    const { stdout } = await running;
    if (expected !== 0) throw new Error(`${program} ${args.join(' ')}: ended with 0, not with ${expected}`);
    return stdout;
  } catch (cause) {
    const { stdout, stderr, code } = cause as { stdout?: string; stderr?: string; code?: unknown };
    if (code === expected && stdout !== undefined) return stdout;
    const complaint = stderr?.trim().split('\n').at(-1);
    throw complaint ? new Error(complaint, { cause }) : cause;
  } finally {
    await end();
  }
}

/** Ends a child that still runs, with SIGTERM and then with SIGKILL, and waits for its end. */
export async function endChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  const deadline = setTimeout(() => child.kill('SIGKILL'), END_DEADLINE_MS);
  child.kill('SIGTERM');
  await ended;
  clearTimeout(deadline);
}
