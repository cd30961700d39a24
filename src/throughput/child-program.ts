import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { MlfsError } from '../errors.ts';

/**
 * Another program of this package beside or above this file, named without its extension: the same kind of file as this
 * one, `.js` when built and `.ts` when run from source, and started with the same options of Node.
 */
export function programArguments(program: string): string[] {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  return [...process.execArgv, fileURLToPath(new URL(`${program}${extension}`, import.meta.url))];
}

/** Runs a program of this package with `input` as JSON and returns its output's JSON. */
export async function askChild<Answer>(
  program: string,
  input: unknown,
  signal: AbortSignal,
): Promise<Answer> {
  const child = spawn(process.execPath, programArguments(program), { signal, stdio: 'pipe' });
  child.stdin.end(JSON.stringify(input));
  const [answer, complaint, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  if (status !== 0) {
    throw new MlfsError('ERR_MLFS_IO', `the reading process failed: ${lastLine(complaint)}`);
  }
  return JSON.parse(answer) as Answer;
}

/** The line of a crash report that says what happened. */
function lastLine(complaint: string): string {
  const lines = complaint.trim().split('\n');
  return lines.find((line) => /^\w*Error/.test(line)) ?? lines.at(-1) ?? 'no reason given';
}
