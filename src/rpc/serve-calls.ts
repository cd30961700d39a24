/**
 * The worker's side of /rpc: takes calls from a mount and lets a worker compute them. It uses only files of the mount, with the rights of
 * its user, so it may be any process on the machine; several of them share the calls.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MlfsError, messageOf } from '../errors.ts';
import { diskError } from '../storage/disk-file.ts';
import { parseTakenCall } from './taken-call.ts';
import { WorkerProcess } from './worker-process.ts';

export interface ServeOptions {
  readonly mountpoint: string;
  /** The worker's command, run by a shell. */
  readonly worker: string;
  readonly signal: AbortSignal;
  readonly log: (message: string) => void;
  /** Called for every call. */
  readonly onCall?: ((id: string, milliseconds: number, error: string | undefined) => void) | undefined;
}

/** A worker that ends so often in a row without an answer is not started again. */
const MOST_FAILED_STARTS = 3;
const RESTART_MS = 500;
const CALL_BYTES = 64 * 1024;

/**
 * Resolves when the signal is aborted or the mount is gone. Throws ERR_MLFS_USAGE when the worker keeps ending, and what says why no file can be
 * opened in /rpc/workers.
 */
export async function serveCalls(options: ServeOptions): Promise<void> {
  const { mountpoint, signal, log } = options;
  const name = `${process.pid}-${randomBytes(4).toString('hex')}`;
  let takes = 0;
  let worker = startWorker(options);
  let failedStarts = 0;
  try {
    while (!signal.aborted) {
      if (worker.end !== undefined) {
        log(worker.end);
        if (++failedStarts >= MOST_FAILED_STARTS) {
          throw new MlfsError('ERR_MLFS_USAGE', `${worker.end}, ${failedStarts} times without an answer`);
        }
        await sleep(RESTART_MS);
        worker = startWorker(options);
      }
      // A new name for each call, so that no cache on the way (such as that of sshfs) knows it.
      const taken = await takeCall(join(mountpoint, 'rpc/workers', `${name}.${++takes}`));
      if (taken === 'gone') return;
      try {
        if (!signal.aborted && (await serveOne(taken, worker, options))) failedStarts = 0;
      } finally {
        // A close that fails is of a mount that is gone, which the next open says.
        await taken.close().catch(() => undefined);
      }
    }
  } finally {
    await worker.stop();
  }
}

function startWorker({ worker, mountpoint, log }: ServeOptions): WorkerProcess {
  return new WorkerProcess(worker, mountpoint, (line) => log(`worker: ${line}`));
}

/** Waits in the kernel for a call, for at most a second. */
async function takeCall(path: string): Promise<FileHandle | 'gone'> {
  try {
    return await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    if (GONE.includes(code)) return 'gone';
    throw cannotTake(path, code, cause);
  }
}

/** The mount was there and is not any more. ECONNABORTED: it went while it was asked. */
const GONE: readonly string[] = ['ENOENT', 'ENOTCONN', 'ENODEV', 'ECONNABORTED'];

/** What the mount says of too many workers, files and descriptors is no room on a disk. */
const TOO_MANY: readonly string[] = ['ENOSPC', 'ENFILE'];

function cannotTake(path: string, code: string, cause: unknown): MlfsError {
  if (!TOO_MANY.includes(code)) return diskError(path, 'cannot be opened to take a call', cause);
  return new MlfsError(
    'ERR_MLFS_BUSY',
    `${dirname(path)}: the mount has no room for another worker (${code})`,
    {
      path,
      cause,
      advice: 'End other workers, or programs that have many files of the mount open.',
    },
  );
}

/** Undefined when there is no call, or none that can be read: that one is left to other workers. */
async function readCall(taken: FileHandle, log: ServeOptions['log']) {
  try {
    const { buffer, bytesRead } = await taken.read(Buffer.alloc(CALL_BYTES), 0, CALL_BYTES, 0);
    return parseTakenCall(buffer.toString('utf8', 0, bytesRead));
  } catch (cause) {
    log(`a call was left, because what the mount says of it cannot be read: ${messageOf(cause)}`);
    return undefined;
  }
}

/** Undefined when the signal is aborted first. Nothing of it stays with the signal, which lives for all calls. */
async function unlessAborted<T>(signal: AbortSignal, task: Promise<T>): Promise<T | undefined> {
  if (signal.aborted) return undefined;
  let abort: () => void = () => undefined;
  const aborted = new Promise<undefined>((resolve) => {
    abort = () => resolve(undefined);
    signal.addEventListener('abort', abort);
  });
  try {
    return await Promise.race([task, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Whether the worker answered the call. The call is ours while `taken` is open. */
async function serveOne(taken: FileHandle, worker: WorkerProcess, options: ServeOptions): Promise<boolean> {
  const { mountpoint, signal, log, onCall } = options;
  const call = await readCall(taken, log);
  if (call === undefined) return false;
  const { id, input, output, answer: answerFile } = call;
  const folder = join(mountpoint, 'rpc', id);
  const startedMs = Date.now();
  const request = { id, mount: mountpoint, input: join(folder, input), output: join(folder, output) };
  const answer = await unlessAborted(signal, worker.ask(request));
  // Without an answer, another worker gets the call.
  if (answer === undefined) return false;
  const { ok, error } = answer;
  try {
    await writeFile(join(folder, answerFile), JSON.stringify({ ok, error }), { flag: 'r+' });
  } catch (cause) {
    log(
      `${id}: the call was withdrawn, and its answer is dropped (${(cause as NodeJS.ErrnoException).code})`,
    );
  }
  onCall?.(id, Date.now() - startedMs, ok ? undefined : (error ?? 'the worker gave no reason'));
  return worker.end === undefined;
}
