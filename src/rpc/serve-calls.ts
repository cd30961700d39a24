/**
 * The other side of /rpc: takes calls from a mount and has a worker compute them. It talks to the mount through files alone, with whatever rights the
 * user has, so it may be any process on the machine; several of them share the calls.
 */
import { type FileHandle, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MlfsError } from '../errors.ts';
import { WorkerProcess } from './worker-process.ts';

export interface ServeOptions {
  readonly mountpoint: string;
  /** For the shell. */
  readonly worker: string;
  readonly signal: AbortSignal;
  readonly log: (message: string) => void;
  /** Hears of every call. */
  readonly onCall?: ((id: string, milliseconds: number, error: string | undefined) => void) | undefined;
}

/** A worker that ends so often without having answered anything is not started again. */
const MOST_FAILED_STARTS = 3;
const RESTART_MS = 500;
const NEXT_BYTES = 64 * 1024;

interface NextCall {
  readonly id?: string;
  readonly input?: string;
  readonly output?: string;
  readonly answer?: string;
}

/** Resolves when the signal is aborted or the mount is gone. Throws ERR_MLFS_USAGE when the worker keeps ending, and what opening /rpc/next throws. */
export async function serveCalls(options: ServeOptions): Promise<void> {
  const { mountpoint, signal, log } = options;
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
      const next = await openNext(join(mountpoint, 'rpc/next'));
      if (next === 'gone') return;
      try {
        if (!signal.aborted && (await serveOne(next, worker, options))) failedStarts = 0;
      } finally {
        await next.close();
      }
    }
  } finally {
    await worker.stop();
  }
}

function startWorker({ worker, mountpoint, log }: ServeOptions): WorkerProcess {
  return new WorkerProcess(worker, mountpoint, (line) => log(`worker: ${line}`));
}

/** Waits in the kernel for at most a second. */
async function openNext(path: string): Promise<FileHandle | 'gone'> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTCONN' || code === 'ENODEV') return 'gone';
    throw cause;
  }
}

/** Whether the worker answered a call. As long as `next` is open the call is ours. */
async function serveOne(next: FileHandle, worker: WorkerProcess, options: ServeOptions): Promise<boolean> {
  const { mountpoint, signal, log, onCall } = options;
  const { buffer, bytesRead } = await next.read(Buffer.alloc(NEXT_BYTES), 0, NEXT_BYTES, 0);
  const call = JSON.parse(buffer.toString('utf8', 0, bytesRead)) as NextCall;
  const { id, input, output, answer: answerFile } = call;
  if (id === undefined || input === undefined || output === undefined || answerFile === undefined)
    return false;
  const folder = join(mountpoint, 'rpc', id);
  const startedMs = Date.now();
  const request = { id, mount: mountpoint, input: join(folder, input), output: join(folder, output) };
  const stopped = new Promise<undefined>((resolve) => {
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  const answer = await Promise.race([worker.ask(request), stopped]);
  // Left without an answer: the call is somebody else's next one.
  if (answer === undefined) return false;
  const { ok, error } = answer;
  try {
    await writeFile(join(folder, answerFile), JSON.stringify({ ok, error }), { flag: 'r+' });
  } catch (cause) {
    log(`${id}: the answer is not wanted any more (${(cause as NodeJS.ErrnoException).code})`);
  }
  onCall?.(id, Date.now() - startedMs, ok ? undefined : (error ?? 'the worker gave no reason'));
  return worker.end === undefined;
}
