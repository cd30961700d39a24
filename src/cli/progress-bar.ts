import type { Progress } from '../storage/fold.ts';
import { ENDING_SIGNALS } from './ending-signals.ts';

export interface ProgressBar {
  /** `now`: what is being worked on. */
  update(progress: Progress & { readonly now?: string }): void;
  stop(): void;
}

/** Delay before a bar is shown: shorter work needs none. */
const SHOW_AFTER_MS = 500;

/** A progress bar on stderr, if stderr is a terminal. */
export async function progressBar(what: string): Promise<ProgressBar> {
  if (!process.stderr.isTTY) return { update: () => undefined, stop: () => undefined };
  const { SingleBar } = await import('./single-bar.ts');
  const bar = new SingleBar({
    format: `${what} {bar} {percentage}% {now}`,
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  });
  const startedMs = Date.now();
  // The cursor is hidden while the bar is shown.
  const endBySignal = (signal: NodeJS.Signals) => {
    stop();
    process.kill(process.pid, signal);
  };
  const stop = () => {
    for (const signal of ENDING_SIGNALS) process.off(signal, endBySignal);
    bar.stop();
  };
  for (const signal of ENDING_SIGNALS) process.on(signal, endBySignal);
  return {
    update: ({ done, total, now = '' }) => {
      if (Date.now() - startedMs < SHOW_AFTER_MS) return;
      if (!bar.isActive) bar.start(Math.max(1, total), done, { now });
      bar.setTotal(Math.max(1, total));
      bar.update(done, { now });
    },
    stop,
  };
}
