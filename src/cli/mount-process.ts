/** The process behind `mlfs mount`: it gets its options from the parent over IPC, reports the result, and serves. Not a command. */
import { MlfsError, messageOf } from '../errors.ts';
import type { ServeAnswer, ServeRequest } from './background.ts';
import { serveInForeground } from './foreground.ts';
import { exitCodeOf } from './print-error.ts';

process.once('message', (message) => {
  const { checkpoint, directory, options } = message as ServeRequest;
  const parentGone = new AbortController();
  const onDisconnect = () => parentGone.abort();
  process.once('disconnect', onDisconnect);

  serveInForeground(
    checkpoint,
    directory,
    options,
    {
      notice: (text) => answer({ kind: 'notice', message: text }),
      onMounted: (mountpoint, summary) => {
        process.off('disconnect', onDisconnect);
        // Keeping the user's working directory would keep its file system busy.
        process.chdir('/');
        answer({ kind: 'mounted', mountpoint, summary });
      },
    },
    parentGone.signal,
  ).then(
    () => process.exit(),
    (error: unknown) => {
      answer(failure(error), () => process.exit(exitCodeOf(error)));
    },
  );
});

function answer(what: ServeAnswer, sent: () => void = () => undefined): void {
  if (process.connected) process.send?.(what, undefined, undefined, sent);
  else sent();
}

function failure(error: unknown): ServeAnswer {
  const known = error instanceof MlfsError;
  return {
    kind: 'failed',
    code: known ? error.code : 'ERR_MLFS_INTERNAL',
    message: messageOf(error),
    advice: known ? error.advice : undefined,
    stack: error instanceof Error ? error.stack : undefined,
  };
}
