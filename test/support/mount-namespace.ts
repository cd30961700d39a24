import { type Outcome, type RunOptions, run } from './run.ts';

/**
 * Runs a program in a separate mount namespace, after the shell commands `prepare` in it: nobody else sees what they mount or hide, and it
 * ends with the program. Needs root and `unshare`.
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
