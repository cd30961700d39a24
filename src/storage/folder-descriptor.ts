/**
 * Names in an open folder. Node has no openat(2): `/proc/self/fd/N/NAME` is the same thing, since the first part leads to the open folder
 * itself, whatever became of its path, and NAME is a single name.
 */
import { errno } from '../errors.ts';

/** Linux's, which Node does not name: a descriptor of the place and not of the contents, for which no permission is needed. */
export const O_PATH = 0o10000000;

/** The path of a name in an open folder. Throws EINVAL for what is not a single name. */
export function pathIn(folder: number, name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) throw errno('EINVAL');
  return `${pathOf(folder)}/${name}`;
}

/** The path of what is open. */
export function pathOf(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
