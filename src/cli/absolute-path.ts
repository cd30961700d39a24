import { resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';

/** Reads an option that names a file or folder. */
export function absolutePath(text: string): string {
  if (text === '') throw new InvalidArgumentError('The path is empty.');
  return resolve(text);
}
