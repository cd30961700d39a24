/**
 * Waits for work until the signal is aborted, then throws the signal's reason. The work itself continues, and its result is ignored, so only
 * work that changes nothing may be waited for in this way.
 */
export function interruptible<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
