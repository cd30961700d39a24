/**
 * SHA-256 and CRC-32 of runs of files, in threads of JavaScript: Node's own functions compute them, one thread for each processor. libuv's pool has no
 * part in it, and the main thread only hears of the progress.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { ownThread } from '../own-package.ts';
import type { FileRun } from './file-run.ts';

export type DigestAlgorithm = 'sha256' | 'crc32';

export interface DigestOrder {
  readonly algorithm: DigestAlgorithm;
  readonly runs: readonly FileRun[];
}

/** Bytes that were read since the last answer; or, last, the digests of an order. */
export type DigestAnswer = { readonly bytes: number } | { readonly digests: readonly (string | undefined)[] };

export interface DigestOptions {
  /** Called with the number of bytes that were read since the last call. */
  readonly onBytes?: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

/** Less than this takes less time than starting threads. */
export const WORTH_THREADS_BYTES: number = 32 * 1024 * 1024;

/** An order has so many bytes, unless it is a single run, or so many runs. */
const ORDER_BYTES = 8 * 1024 * 1024;
const ORDER_RUNS = 512;

interface Order {
  /** Index of its first run. */
  readonly first: number;
  readonly runs: readonly FileRun[];
}

/**
 * Hexadecimal digests of all runs, in order; undefined for a run that could not be read, and for all runs where
 * the system has no thread. The descriptors must stay open until the promise is settled. Throws the signal's reason.
 */
export async function digestRuns(
  algorithm: DigestAlgorithm,
  runs: readonly FileRun[],
  { onBytes = () => undefined, signal }: DigestOptions = {},
): Promise<(string | undefined)[]> {
  const digests = new Array<string | undefined>(runs.length);
  const orders = [...ordersOf(runs)];
  const threads: Worker[] = [];
  const queue = orders.values();
  const work = async (thread: Worker) => {
    for (const { first, runs: ordered } of queue) {
      signal?.throwIfAborted();
      const found = await carriedOut(thread, { algorithm, runs: ordered }, onBytes, signal);
      for (const [at, digest] of found.entries()) digests[first + at] = digest;
    }
  };
  try {
    startThreads(threads, Math.min(availableParallelism(), orders.length));
    await Promise.all(threads.map(work));
  } finally {
    // No thread may read a descriptor that the caller closes, and none may keep the process alive.
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
  return digests;
}

/** Starts as many as the system has room for, perhaps none. */
function startThreads(threads: Worker[], count: number): void {
  try {
    while (threads.length < count) {
      threads.push(new Worker(ownThread('storage/digest-worker'), { execArgv: [] }));
    }
  } catch {
    // The others take its orders; without any, no run has a digest, and the caller reads them all.
  }
}

function* ordersOf(runs: readonly FileRun[]): Generator<Order> {
  for (let first = 0; first < runs.length; ) {
    let end = first;
    let bytes = 0;
    while (end < runs.length && end - first < ORDER_RUNS) {
      bytes += (runs[end] as FileRun).length;
      if (end > first && bytes > ORDER_BYTES) break;
      end++;
    }
    yield { first, runs: runs.slice(first, end) };
    first = end;
  }
}

function carriedOut(
  thread: Worker,
  order: DigestOrder,
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<readonly (string | undefined)[]> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      thread.off('message', hear);
      thread.off('error', fail);
      thread.off('exit', ended);
      signal?.removeEventListener('abort', abort);
    };
    const fail = (cause: unknown) => {
      settle();
      reject(cause);
    };
    const ended = () => fail(new Error('a thread that computes digests ended'));
    const abort = () => fail(signal?.reason);
    const hear = (answer: DigestAnswer) => {
      if ('digests' in answer) {
        settle();
        resolve(answer.digests);
        return;
      }
      try {
        onBytes(answer.bytes);
      } catch (cause) {
        fail(cause);
      }
    };
    thread.on('message', hear);
    thread.on('error', fail);
    thread.on('exit', ended);
    signal?.addEventListener('abort', abort, { once: true });
    thread.postMessage(order);
  });
}
