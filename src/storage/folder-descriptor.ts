/**
 * Names in an open folder. Node has no openat(2), but `/proc/self/fd/N/NAME` does the same: the first part leads to the open folder itself,
 * wherever it was moved, and NAME is a single name.
 */
import { errno } from '../errors.ts';

/**
 * O_PATH of Linux, which Node does not name: a descriptor of the path without access to the contents, for which no permission is needed.
 */
export const O_PATH = 0o10000000;

/** The path of a name in an open folder. Throws EINVAL when it is not a single name. */
export function pathIn(folder: number, name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) throw errno('EINVAL');
  return `${pathOf(folder)}/${name}`;
}

/** The path of an open file or folder. */
export function pathOf(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
