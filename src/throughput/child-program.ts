import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { MlfsError } from '../errors.ts';
import { ownProgram } from '../own-package.ts';

/** The arguments with which Node runs another program of this package, named as for `ownProgram`. */
export function programArguments(program: string): string[] {
  return [...process.execArgv, ownProgram(program)];
}

/** Runs a program of this package with `input` as JSON and returns the JSON that it prints. */
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

/** The line of a crash report with the error itself. */
function lastLine(complaint: string): string {
  const lines = complaint.trim().split('\n');
  return lines.find((line) => /^\w*Error/.test(line)) ?? lines.at(-1) ?? 'no reason given';
}
