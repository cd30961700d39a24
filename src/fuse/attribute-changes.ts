import type { Inode } from '../tree/inode.ts';
import type { AttrChange } from './filesystem.ts';

/** What is different from what the tree says of an inode. */
export interface ChangedAttributes {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtimeMs?: number;
  readonly atimeMs?: number;
}

/** A checkpoint has nowhere to keep set-user-id, set-group-id and sticky bits, and nobody should find them on a tensor. */
const KEPT_MODE_BITS = 0o777;

/** chmod, chown and utimens of a mount, and the times of files whose bytes changed: kept in memory until it ends. */
export class AttributeChanges {
  readonly #changed = new Map<number, ChangedAttributes>();

  of(nodeid: number): ChangedAttributes | undefined {
    return this.#changed.get(nodeid);
  }

  apply(nodeid: number, { mode, uid, gid, mtimeMs, atimeMs }: AttrChange): void {
    this.#merge(nodeid, {
      ...(mode === undefined ? {} : { mode: mode & KEPT_MODE_BITS }),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      ...(mtimeMs === undefined ? {} : { mtimeMs }),
      ...(atimeMs === undefined ? {} : { atimeMs }),
    });
  }

  /** The bytes of the inode changed: its mtime is now, and later than it was. */
  touch(inode: Inode): void {
    const before = this.#changed.get(inode.nodeid)?.mtimeMs ?? inode.mtimeMs;
    this.#merge(inode.nodeid, { mtimeMs: Math.max(Date.now(), Math.floor(before) + 1) });
  }

  forget(nodeid: number): void {
    this.#changed.delete(nodeid);
  }

  #merge(nodeid: number, changes: ChangedAttributes): void {
    this.#changed.set(nodeid, { ...this.#changed.get(nodeid), ...changes });
  }
}
