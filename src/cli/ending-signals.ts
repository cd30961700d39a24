/** Signals that end a program by default: Ctrl-C, kill, a closed terminal. */
export const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const satisfies readonly NodeJS.Signals[];

/**
 * Runs `task`. A signal that ends the process aborts `interrupted` and ends it when `task` has ended. A second one ends it at once.
 */
export async function endingAfter<T>(task: (interrupted: AbortSignal) => Promise<T>): Promise<T> {
  const interrupted = new AbortController();
  const interrupt = (signal: NodeJS.Signals) => {
    if (interrupted.signal.aborted) endBy(signal);
    else interrupted.abort(signal);
  };
  const letGo = () => {
    for (const signal of ENDING_SIGNALS) process.off(signal, interrupt);
  };
  const endBy = (signal: NodeJS.Signals) => {
    letGo();
    process.kill(process.pid, signal);
  };
  for (const signal of ENDING_SIGNALS) process.on(signal, interrupt);
  try {
    return await task(interrupted.signal);
  } finally {
    if (interrupted.signal.aborted) endBy(interrupted.signal.reason as NodeJS.Signals);
    letGo();
  }
}
