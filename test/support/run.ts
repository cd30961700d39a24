import { spawn } from 'node:child_process';

export interface Outcome {
  /** Exit code, or null if a signal ended the program. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Written to the program's standard input, which is then closed. */
  readonly input?: string | Uint8Array;
  /** After this time the program is killed and `run` rejects; default: a minute. */
  readonly timeoutMs?: number;
  /** Runs the program as this user and group, without supplementary groups; needs root. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

/** The time limit for programs of a test: a guard against hanging, not a promise of speed. */
const TIMEOUT_MS = 60_000;

/** Runs a program, never through a shell, and collects its output. Rejects if it cannot be started or hangs. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...(options.env ?? process.env), LC_ALL: 'C.UTF-8' },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...options.user,
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    let hung = false;
    const timer = setTimeout(() => {
      hung = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const outcome: Outcome = {
        code,
        signal,
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      };
      if (hung)
        reject(new Error(`${shown(program, args)} did not end in ${timeoutMs} ms: ${outcome.stderr}`));
      else resolve(outcome);
    });
    // A program may end without reading its input.
    child.stdin.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') child.emit('error', error);
    });
    child.stdin.end(options.input);
  });
}

/** Like `run`, for a program that must succeed; resolves with its output. */
export async function output(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, signal, stdout, stderr } = await run(program, args, options);
  if (code !== 0)
    throw new Error(`${shown(program, args)} ended with ${code ?? signal}: ${stderr || stdout}`);
  return stdout;
}

function shown(program: string, args: readonly string[]): string {
  return [program, ...args].join(' ').slice(0, 200);
}
