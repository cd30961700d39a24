import type { Inode } from '../inode.ts';
import type { AttrChange, NewTime } from './filesystem.ts';

/** What is different from what the tree says of an inode. */
export interface ChangedAttributes {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtimeMs?: number;
  readonly atimeMs?: number;
  /** When any of these, or the bytes, changed. */
  readonly ctimeMs?: number;
  /** The same as the times in milliseconds, as somebody set them. */
  readonly mtimeNs?: bigint | undefined;
  readonly atimeNs?: bigint | undefined;
}

/** A checkpoint has nowhere to keep set-user-id, set-group-id and sticky bits, and nobody should find them on a tensor. */
const KEPT_MODE_BITS = 0o777;
/** Times may be set to any number of seconds. Beyond this a later time would not fit the kernel's messages; it is in the year 144,683. */
const LATEST_MS = 2 ** 52;

/** chmod, chown and utimens of a mount, and the times of files whose bytes changed: kept in memory until it ends. */
export class AttributeChanges {
  readonly #changed = new Map<number, ChangedAttributes>();
  #lastTouchedMs = Number.NEGATIVE_INFINITY;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  of(nodeid: number): ChangedAttributes | undefined {
    return this.#changed.get(nodeid);
  }

  apply(nodeid: number, { mode, uid, gid, mtime, atime }: AttrChange): void {
    const nowMs = Date.now();
    this.#merge(nodeid, {
      ctimeMs: nowMs,
      ...(mode === undefined ? {} : { mode: mode & KEPT_MODE_BITS }),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      ...(mtime === undefined ? {} : { mtimeMs: msOf(mtime, nowMs), mtimeNs: nsOf(mtime) }),
      ...(atime === undefined ? {} : { atimeMs: msOf(atime, nowMs), atimeNs: nsOf(atime) }),
    });
  }

  /** A file takes the place of another: it has the other's attributes from then on, as far as these were changed. */
  inherit(nodeid: number, source: Inode): void {
    this.#merge(nodeid, {
      mtimeMs: source.mtimeMs,
      mtimeNs: undefined,
      ...this.of(source.nodeid),
      ctimeMs: Date.now(),
    });
  }

  /** The mtime to show of an inode for which the tree says `ownMs`. */
  mtimeMs(nodeid: number, ownMs: number): number {
    return this.#changed.get(nodeid)?.mtimeMs ?? Math.max(ownMs, this.#notBeforeMs);
  }

  /** The bytes of the inode changed: its mtime is now, and later than it was. */
  touch(inode: Inode): void {
    const before = this.mtimeMs(inode.nodeid, inode.mtimeMs);
    const mtimeMs = Math.max(Date.now(), Math.min(Math.floor(before), LATEST_MS) + 1);
    this.#lastTouchedMs = Math.max(this.#lastTouchedMs, mtimeMs);
    this.#merge(inode.nodeid, { mtimeMs, mtimeNs: undefined, ctimeMs: mtimeMs });
  }

  /** Another file's bytes are shown from here on: later than any that changed, as libfuse tells old pages by mtime and size. */
  outdate(): void {
    this.#notBeforeMs = this.#lastTouchedMs + 1;
  }

  forget(nodeid: number): void {
    this.#changed.delete(nodeid);
  }

  #merge(nodeid: number, changes: ChangedAttributes): void {
    this.#changed.set(nodeid, { ...this.#changed.get(nodeid), ...changes });
  }
}

function msOf(time: NewTime, nowMs: number): number {
  return time === 'now' ? nowMs : Number(time) / 1e6;
}

function nsOf(time: NewTime): bigint | undefined {
  return time === 'now' ? undefined : time;
}
