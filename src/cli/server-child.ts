/**
 * The child process that serves a mount in the background. It can be started before it is known what it will mount: it then loads while this process reads the
 * command line. A child that is told nothing ends with its parent.
 *
 * Its stderr is a nameless file: it shows the reason when the child dies without a report, and the child does not depend on this process's
 * pipes. A temporary folder that is missing or full prevents no mount: stderr is then /dev/null.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ownProgram } from '../own-package.ts';

export interface ServerChild {
  readonly process: ChildProcess;
  /** Descriptor of what the child writes to stderr; whoever takes the child closes it. */
  readonly errors: number;
  /** Resolves when the child could not be started. */
  readonly failed: Promise<Error>;
  /** Resolves when the child has ended, also before it was taken. */
  readonly ended: Promise<ServerEnd>;
}

export interface ServerEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * In MiB, a half of V8's default. Most of what opening a checkpoint makes is kept, so that a larger one costs memory and saves no processor time.
 */
const SMALL_YOUNG_GENERATION = '--max-semi-space-size=8';

let prepared: ServerChild | undefined;

/** Starts a child for the `takeServer` that follows. If that fails, `takeServer` tries again and throws: not every line comes that far. */
export function prepareServer(): void {
  try {
    prepared ??= startServer();
  } catch {
    // Whoever takes the server hears of it.
  }
}

/** The prepared child, or a new one. */
export function takeServer(): ServerChild {
  const child = prepared ?? startServer();
  prepared = undefined;
  return child;
}

/** Ends the prepared child, if nobody has taken it. */
export function dropServer(): void {
  if (prepared === undefined) return;
  const { process: child, errors } = prepared;
  prepared = undefined;
  closeSync(errors);
  if (child.connected) child.disconnect();
  child.unref();
}

function startServer(): ServerChild {
  const errors = fileForErrors();
  try {
    // What the caller asked of Node comes last, and wins.
    const args = [SMALL_YOUNG_GENERATION, ...process.execArgv, ownProgram('cli/mount-process')];
    const child = spawn(process.execPath, args, {
      detached: true,
      stdio: ['ignore', 'ignore', errors, 'ipc'],
    });
    return {
      process: child,
      errors,
      failed: new Promise((failed) => child.once('error', failed)),
      ended: new Promise((ended) => child.once('exit', (code, signal) => ended({ code, signal }))),
    };
  } catch (cause) {
    closeSync(errors);
    throw cause;
  }
}

function fileForErrors(): number {
  try {
    return namelessFile();
  } catch {
    return openSync('/dev/null', 'r+');
  }
}

function namelessFile(): number {
  const folder = mkdtempSync(join(tmpdir(), 'mlfs-'));
  try {
    return openSync(join(folder, 'stderr'), 'w+', 0o600);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
