import type { Inode } from '../tree/inode.ts';
import type { AbsentEntry, Attr, Entry } from './filesystem.ts';
import type { Snapshots } from './snapshots.ts';

/**
 * A day. Names, sizes and bytes of a checkpoint's files do not change while it is mounted; should one change, the kernel
 * is told and does not wait for a timeout.
 */
const FIXED_MS = 24 * 60 * 60 * 1000;

/** No such name, and there will be none. */
export const ABSENT: AbsentEntry = { absent: true, entryTimeoutMs: FIXED_MS };

/** "Subdirectories are not counted", as btrfs has it: `find` then looks at each entry's type instead. */
const DIRECTORY_LINKS = 1;

/** Attributes of inodes as the kernel sees them, and how long it may keep them. */
export class Attributes {
  readonly #uid: number;
  readonly #gid: number;
  readonly #snapshots: Snapshots;

  constructor(uid: number, gid: number, snapshots: Snapshots) {
    this.#uid = uid;
    this.#gid = gid;
    this.#snapshots = snapshots;
  }

  /** A name never changes its inode; the attributes of what is made on demand or grows are asked for each time. */
  entry(inode: Inode): Entry {
    const changes =
      inode.kind === 'file' && (inode.content.kind === 'snapshot' || inode.content.kind === 'live');
    return { attr: this.attr(inode), entryTimeoutMs: FIXED_MS, attrTimeoutMs: changes ? 0 : FIXED_MS };
  }

  attr(inode: Inode): Attr {
    const { nodeid, kind, mode } = inode;
    const nlink = inode.kind === 'file' ? inode.nlink : DIRECTORY_LINKS;
    return { nodeid, kind, mode, nlink, uid: this.#uid, gid: this.#gid, ...this.#sizeAndTime(inode) };
  }

  #sizeAndTime(inode: Inode): { size: number; mtimeMs: number } {
    if (inode.kind === 'directory') return { size: 0, mtimeMs: inode.mtimeMs };
    const { content } = inode;
    switch (content.kind) {
      case 'live':
      case 'stored':
        return { size: content.size(), mtimeMs: Date.now() };
      case 'command':
        return { size: 0, mtimeMs: inode.mtimeMs };
      case 'snapshot': {
        const known = this.#snapshots.known(inode.nodeid);
        return { size: known?.size ?? 0, mtimeMs: known?.madeMs ?? inode.mtimeMs };
      }
      default:
        return { size: content.size, mtimeMs: inode.mtimeMs };
    }
  }
}
