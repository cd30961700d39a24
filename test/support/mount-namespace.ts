import { type Outcome, type RunOptions, run } from './run.ts';

/**
 * Runs a program in a mount namespace of its own, after the shell commands `prepare` in it: what they mount or hide, nobody else sees, and it
 * is gone with the program. Needs root and `unshare`.
 */
export function runInMountNamespace(
  prepare: string,
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const script = `set -e\n${prepare}\nexec "$@"`;
  return run('unshare', ['--mount', 'sh', '-c', script, 'sh', program, ...args], options);
}
