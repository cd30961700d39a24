import { EXIT, MlfsError } from '../errors.ts';
import { printable } from './printable.ts';

/** `mlfs: what: why`, and a line with what to do next. The stack is for MLFS_DEBUG=1. */
export function printError(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  const lines = [`mlfs: ${printable(message)}`];
  if (error instanceof MlfsError) {
    if (error.advice !== undefined) lines.push(`  try: ${printable(error.advice)}`);
  } else {
    lines.push('  this is a fault of mlfs; MLFS_DEBUG=1 shows where it happened');
  }
  process.stderr.write(`${lines.join('\n')}\n`);
  if (process.env.MLFS_DEBUG && error instanceof Error) process.stderr.write(`${stackOf(error)}\n`);
}

export function exitCodeOf(error: unknown): number {
  return error instanceof MlfsError ? error.exitCode : EXIT.failure;
}

function stackOf(error: Error): string {
  const own = error.stack ?? error.message;
  return error.cause instanceof Error ? `${own}\ncaused by: ${stackOf(error.cause)}` : own;
}
