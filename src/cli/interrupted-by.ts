import { MlfsError } from '../errors.ts';

/** What `task` comes to; throws EINTR once the signal is aborted. The task itself is not ended. */
export async function interruptedBy<T>(signal: AbortSignal | undefined, task: Promise<T>): Promise<T> {
  if (signal === undefined) return task;
  let end: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    end = () => reject(new MlfsError('ERR_MLFS_ERRNO', 'interrupted', { errno: 'EINTR' }));
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
  try {
    return await Promise.race([task, aborted]);
  } finally {
    signal.removeEventListener('abort', end);
  }
}
