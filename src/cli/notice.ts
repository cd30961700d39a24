import { printable } from './printable.ts';

/** A line on stderr that is no failure. */
export function notice(message: string): void {
  process.stderr.write(`mlfs: ${printable(message)}\n`);
}
