import { bounded } from '../visible-text.ts';

/** Maximum size of a notice in bytes: a worker of `mlfs serve` may print a line of megabytes. */
const MAX_BYTES = 2000;

/** Prints a line on stderr that is not an error. */
export function notice(message: string): void {
  process.stderr.write(`mlfs: ${bounded(message, MAX_BYTES)}\n`);
}
