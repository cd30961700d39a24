import { bounded } from '../visible-text.ts';

/** Bytes of what a notice says: a worker of `mlfs serve` may print a line of megabytes. */
const MAX_BYTES = 2000;

/** A line on stderr that is no failure. */
export function notice(message: string): void {
  process.stderr.write(`mlfs: ${bounded(message, MAX_BYTES)}\n`);
}
