import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** What a worker is asked: a line of JSON on its stdin. Paths are absolute. */
export interface WorkerRequest {
  readonly id: string;
  readonly mount: string;
  readonly input: string;
  readonly output: string;
}

/** What it answers: a line of JSON on its stdout. */
export interface WorkerAnswer {
  readonly id: string;
  readonly ok: boolean;
  readonly error?: string;
}

const PATIENCE_MS = 5000;

/**
 * A program that computes: one request at a time, by lines of JSON. Lines on its stdout that are no answer are its own affair and are passed on
 * to `said`; its stderr is the terminal's.
 */
export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #said: (line: string) => void;
  readonly #ended: Promise<string>;
  #waiting: { readonly id: string; readonly resolve: (answer: WorkerAnswer) => void } | undefined;
  #end: string | undefined;

  /** `command` is for the shell; it finds the mount in $MLFS_MOUNT. */
  constructor(command: string, mountpoint: string, said: (line: string) => void) {
    this.#said = said;
    this.#child = spawn(`exec ${command}`, {
      shell: '/bin/sh',
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, MLFS_MOUNT: mountpoint },
    });
    // A worker that is gone is noticed by its end.
    this.#child.stdin?.on('error', () => undefined);
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      this.#take(line),
    );
    this.#ended = Promise.race([
      once(this.#child, 'exit').then(
        ([code, signal]) => `the worker ended with ${signal ?? `exit code ${code}`}`,
      ),
      once(this.#child, 'error').then(([error]) => `the worker could not be started: ${error.message}`),
    ]).then((reason) => {
      this.#end = reason;
      this.#waiting?.resolve({ id: this.#waiting.id, ok: false, error: reason });
      return reason;
    });
  }

  /** Why there is no worker any more. */
  get end(): string | undefined {
    return this.#end;
  }

  /** Resolves with the worker's answer, or with one that says how it ended. Not called while another is asked. */
  ask(request: WorkerRequest): Promise<WorkerAnswer> {
    if (this.#end !== undefined) return Promise.resolve({ id: request.id, ok: false, error: this.#end });
    return new Promise((resolve) => {
      this.#waiting = {
        id: request.id,
        resolve: (answer) => {
          this.#waiting = undefined;
          resolve(answer);
        },
      };
      this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    });
  }

  /** SIGTERM, and SIGKILL for who does not hear it. */
  async stop(): Promise<void> {
    if (this.#end !== undefined) return;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  #take(line: string): void {
    const answer = answerIn(line);
    if (answer === undefined || answer.id !== this.#waiting?.id) this.#said(line);
    else this.#waiting.resolve(answer);
  }
}

function answerIn(line: string): WorkerAnswer | undefined {
  try {
    const { id, ok, error } = JSON.parse(line) as Record<string, unknown>;
    if (typeof id !== 'string' || typeof ok !== 'boolean') return undefined;
    return { id, ok, ...(error === undefined ? {} : { error: String(error) }) };
  } catch {
    return undefined;
  }
}
