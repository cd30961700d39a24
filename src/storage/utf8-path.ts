/**
 * Node decodes a path that the kernel gives as UTF-8 and puts U+FFFD in the place of every byte that is not. Such a string names no file, or another
 * one whose name really holds U+FFFD.
 */
import { isUtf8 } from 'node:buffer';
import { realpath } from 'node:fs/promises';
import { MlfsError } from '../errors.ts';

/** The path without symbolic links. Throws ERR_MLFS_USAGE, with the advice, when it is not UTF-8, and what realpath throws. */
export async function realPathOf(path: string, advice?: string): Promise<string> {
  const bytes = await realpath(path, { encoding: 'buffer' });
  if (isUtf8(bytes)) return bytes.toString();
  throw leadsToRawBytes(path, advice);
}

/** The refusal of a path that is a name in UTF-8 and leads to one that is not. */
export function leadsToRawBytes(path: string, advice?: string): MlfsError {
  return new MlfsError(
    'ERR_MLFS_USAGE',
    `${path}: leads to a path that is not UTF-8, and MLFS reads paths as UTF-8`,
    { path, advice },
  );
}
