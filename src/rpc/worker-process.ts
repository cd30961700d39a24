import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppendedLines } from '../telemetry/appended-lines.ts';
import { cutTo } from '../telemetry/cut-text.ts';

/** A request to a worker: a line of JSON on its stdin. Paths are absolute. */
export interface WorkerRequest {
  readonly id: string;
  readonly mount: string;
  readonly input: string;
  readonly output: string;
}

/** A worker's answer: a line of JSON on its stdout. */
export interface WorkerAnswer {
  readonly id: string;
  readonly ok: boolean;
  readonly error?: string;
}

/** Time for a worker to end after it was told to, and for reading the rest of its output. */
const PATIENCE_MS = 5000;
/** Maximum size of a line that is kept while it is incomplete; a longer line is cut and is not an answer. */
const MOST_LINE_BYTES = 1024 * 1024;
/** Maximum size of a line that is printed. */
const MOST_PRINTED_BYTES = 8 * 1024;
/** Maximum size of the reason in an answer: it fits into the file `answer` however much of it must be escaped. */
const MOST_REASON_BYTES = 8 * 1024;

/**
 * A worker program, which gets one request at a time, in lines of JSON. Lines on its stdout that are not answers are passed to `said`; its
 * stderr is the terminal's. Its output is read only as fast as it is handled, and the part of a line that is kept is bounded.
 */
export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #said: (line: string) => void;
  readonly #ended: Promise<string>;
  #waiting: { readonly id: string; readonly resolve: (answer: WorkerAnswer) => void } | undefined;
  #end: string | undefined;
  /** Number of lines that were read. */
  #lines = 0;

  /** `command` is run by a shell; it finds the mount in $MLFS_MOUNT. */
  constructor(command: string, mountpoint: string, said: (line: string) => void) {
    this.#said = said;
    this.#child = spawn(`exec ${command}`, {
      shell: '/bin/sh',
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, MLFS_MOUNT: mountpoint },
    });
    // The exit event reports a worker that is gone.
    this.#child.stdin?.on('error', () => undefined);
    const allRead = readLines(this.#child.stdout as Readable, (line) => this.#take(line));
    this.#ended = Promise.race([
      once(this.#child, 'exit').then(async ([code, signal]) => {
        await this.#lastLines(allRead);
        return `the worker ended with ${signal ?? `exit code ${code}`}`;
      }),
      once(this.#child, 'error').then(([error]) => `the worker could not be started: ${error.message}`),
    ]).then((reason) => {
      this.#end = reason;
      this.#waiting?.resolve({ id: this.#waiting.id, ok: false, error: reason });
      return reason;
    });
  }

  /** Why the worker has ended. */
  get end(): string | undefined {
    return this.#end;
  }

  /** Resolves with the worker's answer, or with one that says how the worker ended. Must not be called while a request is running. */
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

  /** Sends SIGTERM, and SIGKILL when the worker does not end. */
  async stop(): Promise<void> {
    if (this.#end !== undefined) return;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  /**
   * Waits for the last answer, which may still be in the pipe. A program that the worker left behind can keep the pipe open, so this waits
   * only as long as lines arrive.
   */
  async #lastLines(allRead: Promise<void>): Promise<void> {
    let read = false;
    const all = allRead.then(() => {
      read = true;
    });
    for (let before = -1; !read && before !== this.#lines; ) {
      before = this.#lines;
      await Promise.race([all, sleep(PATIENCE_MS, undefined, { ref: false })]);
    }
  }

  #take(line: string): void {
    this.#lines++;
    const answer = answerIn(line);
    if (answer === undefined || answer.id !== this.#waiting?.id) this.#said(printedLine(line));
    else this.#waiting.resolve(answer);
  }
}

/** Passes on line after line, and pauses reading while many lines wait to be handled. Resolves after the last line. */
function readLines(stream: Readable, take: (line: string) => void): Promise<void> {
  const lines = new AppendedLines(MOST_LINE_BYTES, (text) => {
    for (const line of text.slice(0, -1).split('\n')) take(line.endsWith('\r') ? line.slice(0, -1) : line);
  });
  stream.on('data', (bytes: Buffer) => {
    const later = lines.append(bytes);
    if (later === undefined) return;
    stream.pause();
    void later.then(() => stream.resume());
  });
  stream.on('error', () => undefined);
  return once(stream, 'end').then(
    () => lines.end(),
    () => undefined,
  );
}

function printedLine(line: string): string {
  const shown = cutTo(MOST_PRINTED_BYTES, line);
  return shown === line ? line : `${shown} (the rest of this line was left out)`;
}

function answerIn(line: string): WorkerAnswer | undefined {
  try {
    const { id, ok, error } = JSON.parse(line) as Record<string, unknown>;
    if (typeof id !== 'string' || typeof ok !== 'boolean') return undefined;
    return { id, ok, ...(error === undefined ? {} : { error: cutTo(MOST_REASON_BYTES, String(error)) }) };
  } catch {
    return undefined;
  }
}
