/**
 * Mounts in the background: a detached child serves. This process waits until the child reports that the mount answers, checks the mount
 * itself, and exits.
 */
import { closeSync, fstatSync, readSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type ErrorCode, MlfsError, messageOf } from '../errors.ts';
import type { MountOptions } from '../mount/mount-options.ts';
import type { MountSummary } from '../mount/mounted.ts';
import { interruptedBy } from './interrupted-by.ts';
import { type ServerChild, takeServer } from './server-child.ts';

/** Messages to the child and its answers, over Node's IPC channel. */
export interface ServeRequest {
  readonly checkpoint: string;
  readonly directory: string;
  readonly options: MountOptions;
}

export type ServeAnswer =
  | { readonly kind: 'notice'; readonly message: string }
  | { readonly kind: 'mounted'; readonly mountpoint: string; readonly summary: MountSummary }
  | {
      readonly kind: 'failed';
      readonly code: ErrorCode;
      readonly message: string;
      readonly advice: string | undefined;
      readonly stack: string | undefined;
    };

export interface BackgroundMount {
  readonly mountpoint: string;
  readonly summary: MountSummary;
  /** Process id of the server. */
  readonly pid: number;
}

/** A child that is told to end while it makes a mount does so in less. */
const ENDING_MS = 5000;

/**
 * Resolves when the mount answers; throws what the child failed with. `options` must be plain values. When `interrupted` is aborted it throws EINTR, and
 * the child has ended.
 */
export async function mountInBackground(
  checkpoint: string,
  directory: string,
  options: MountOptions,
  notice: (message: string) => void,
  interrupted?: AbortSignal,
): Promise<BackgroundMount> {
  const server = takeServer();
  const { process: child, errors } = server;
  try {
    const request: ServeRequest = { checkpoint, directory: resolve(directory), options };
    const answering = askToServe(server, request, notice).then(async (answer) => {
      await statfs(answer.mountpoint);
      return answer;
    });
    const answer = await interruptedBy(interrupted, answering).catch(async (cause: unknown) => {
      if (interrupted?.aborted) await endChild(server);
      throw cause;
    });
    child.disconnect();
    child.unref();
    // Counted from the start of this process: the time that the user waited.
    const summary = { ...answer.summary, milliseconds: Math.round(performance.now()) };
    return { mountpoint: answer.mountpoint, summary, pid: child.pid ?? 0 };
  } finally {
    closeSync(errors);
  }
}

/** Without its parent the child takes back what it has mounted and ends, unless it is stopped or waits for what does not answer. */
async function endChild({ process: child, ended }: ServerChild): Promise<void> {
  if (child.pid === undefined) return;
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill('SIGKILL'), ENDING_MS);
  await ended;
  clearTimeout(timer);
}

function askToServe(
  { process: child, errors, failed, ended }: ServerChild,
  request: ServeRequest,
  notice: (message: string) => void,
): Promise<Extract<ServeAnswer, { kind: 'mounted' }>> {
  return new Promise((mounted, reject) => {
    let answered = false;
    void failed.then((cause) =>
      reject(
        new MlfsError('ERR_MLFS_IO', `no serving process can be started: ${messageOf(cause)}`, { cause }),
      ),
    );
    child.on('message', (message) => {
      const answer = message as ServeAnswer;
      if (answer.kind === 'notice') {
        notice(answer.message);
        return;
      }
      answered = true;
      if (answer.kind === 'mounted') mounted(answer);
      else reject(failureOf(answer));
    });
    void ended.then(({ code, signal }) => {
      if (answered) return;
      const last = lastWords(errors);
      const how = signal === null ? `exit code ${code}` : signal;
      reject(
        new MlfsError('ERR_MLFS_INTERNAL', `the serving process ended before it mounted (${how})${last}`),
      );
    });
    // A child that cannot be told anything was not started, or ends: `failed` or `ended` says why.
    if (child.connected) child.send(request, () => undefined);
  });
}

function failureOf({ code, message, advice, stack }: Extract<ServeAnswer, { kind: 'failed' }>): MlfsError {
  const error = new MlfsError(code, message, { advice });
  if (stack !== undefined) error.stack = stack;
  return error;
}

const LAST_BYTES = 2000;

function lastWords(file: number): string {
  const { size } = fstatSync(file);
  const length = Math.min(size, LAST_BYTES);
  const bytes = Buffer.alloc(length);
  readSync(file, bytes, 0, length, size - length);
  const text = bytes
    .toString()
    .trim()
    .replace(/\s*\n\s*/g, ' ');
  return text === '' ? '' : `: ${text}`;
}
