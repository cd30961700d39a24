import { realpath, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

/**
 * What else a commit into this file would change: other names of the same file (hard links), or a name that is the hash of its contents.
 * Undefined when nothing is shared, or the file does not exist.
 */
export async function sharedFileWarning(path: string): Promise<string | undefined> {
  const real = await realpath(path).catch(() => undefined);
  const found = real === undefined ? undefined : await stat(path).catch(() => undefined);
  if (real === undefined || found === undefined) return undefined;
  if (isNamedByContents(real)) {
    return `${path}: is the file ${real} of a cache, which is named after the hash of its contents: after a commit the name is wrong; mlfs commit --to NEW writes a new file instead`;
  }
  if (found.nlink > 1) {
    return `${path}: has ${found.nlink} names (hard links), and a commit changes the file under all of them; mlfs commit --to NEW writes a file of its own`;
  }
  return undefined;
}

/** The Hugging Face hub's cache keeps `blobs/HASH` (SHA-1 or SHA-256), with links to them under the names of the repository. */
function isNamedByContents(real: string): boolean {
  return basename(dirname(real)) === 'blobs' && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(basename(real));
}
