import { EXIT, MlfsError, messageOf } from '../errors.ts';
import { bounded, visibleLines } from '../visible-text.ts';

/** Maximum size in bytes. Messages of MlfsErrors are shorter; other errors may be of any length. */
const MAX_BYTES = 2000;

/** Prints `mlfs: what: why`, and a line of advice. MLFS_DEBUG=1 adds the stack. */
export function printError(error: unknown): void {
  const message = messageOf(error);
  const lines = [`mlfs: ${bounded(message, MAX_BYTES)}`];
  if (error instanceof MlfsError) {
    if (error.advice !== undefined) lines.push(`  try: ${error.advice}`);
  } else {
    lines.push('  this is a fault of mlfs; MLFS_DEBUG=1 shows where it happened');
  }
  process.stderr.write(`${lines.join('\n')}\n`);
  if (process.env.MLFS_DEBUG && error instanceof Error)
    process.stderr.write(`${visibleLines(stackOf(error))}\n`);
}

export function exitCodeOf(error: unknown): number {
  return error instanceof MlfsError ? error.exitCode : EXIT.failure;
}

function stackOf(error: Error): string {
  const own = error.stack ?? error.message;
  return error.cause instanceof Error ? `${own}\ncaused by: ${stackOf(error.cause)}` : own;
}
