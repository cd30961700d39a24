/**
 * Decides which files of a state directory are the caller's own: the caller or root made them, and nobody else may write to them. Other
 * files are foreign: nothing in them is read, written, renamed or removed.
 */
import type { Stats } from 'node:fs';
import { MlfsError } from '../errors.ts';

const WRITABLE_BY_GROUP = 0o020;
const WRITABLE_BY_OTHERS = 0o002;

/** Why something in a state directory is foreign, as the end of a sentence; undefined when it is the caller's own. */
export function foreignReason(stat: Stats, wanted: 'file' | 'directory'): string | undefined {
  if (stat.isSymbolicLink()) return 'is a symbolic link, which is not followed';
  if (wanted === 'directory' && !stat.isDirectory()) return 'is not a directory';
  if (wanted === 'file' && !stat.isFile()) return 'is not a regular file';
  const own = process.geteuid?.() ?? 0;
  if (stat.uid !== own && stat.uid !== 0) {
    return `belongs to user ${stat.uid}, and only what belongs to user ${own} or root is used`;
  }
  // An access control list shows in the group's mode bits.
  if ((stat.mode & WRITABLE_BY_OTHERS) !== 0) return 'can be written by every user';
  if ((stat.mode & WRITABLE_BY_GROUP) !== 0) return 'can be written by its group';
  return undefined;
}

/** ERR_MLFS_ACCESS for something foreign. */
export function foreignError(path: string, reason: string): MlfsError {
  const advice = reason.startsWith('can be written')
    ? `chmod go-w ${path}; or keep the edits in a directory of your own: --state DIR`
    : 'keep the edits in a directory of your own: --state DIR';
  return new MlfsError('ERR_MLFS_ACCESS', `${path}: ${reason}`, { path, advice });
}
