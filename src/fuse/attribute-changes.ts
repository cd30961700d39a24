import { type Inode, LATEST_MS } from '../inode.ts';
import type { AttrChange, NewTime } from './filesystem.ts';

/** The attributes of an inode that differ from those of the tree. */
export interface ChangedAttributes {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtimeMs?: number;
  readonly atimeMs?: number;
  /** When any of these attributes, or the bytes, changed. */
  readonly ctimeMs?: number;
  /** The times in nanoseconds, as a caller set them; the fields above have the same times in milliseconds. */
  readonly mtimeNs?: bigint | undefined;
  readonly atimeNs?: bigint | undefined;
}

/** A checkpoint has no place for set-user-id, set-group-id and sticky bits, and no tensor should have them. */
const KEPT_MODE_BITS = 0o777;

/** Changes by chmod, chown and utimens, and the times of files whose bytes changed: kept in memory until the mount ends. */
export class AttributeChanges {
  readonly #changed = new Map<number, ChangedAttributes>();
  /** Called after each change. */
  onChange: (nodeid: number) => void = () => undefined;
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

  /** A file replaces another one: from then on it has the other's changed attributes. */
  inherit(nodeid: number, source: Inode): void {
    this.#merge(nodeid, {
      mtimeMs: source.mtimeMs,
      mtimeNs: undefined,
      ...this.of(source.nodeid),
      ctimeMs: Date.now(),
    });
  }

  /** The mtime to show for an inode with `ownMs` in the tree. */
  mtimeMs(nodeid: number, ownMs: number): number {
    return this.#changed.get(nodeid)?.mtimeMs ?? Math.max(ownMs, this.#notBeforeMs);
  }

  /** The bytes of the inode changed: its mtime becomes now, and always later than before. */
  touch(inode: Pick<Inode, 'nodeid' | 'mtimeMs'>, nowMs = Date.now()): void {
    const before = this.mtimeMs(inode.nodeid, inode.mtimeMs);
    const mtimeMs = Math.max(nowMs, Math.min(Math.floor(before), LATEST_MS) + 1);
    this.#lastTouchedMs = Math.max(this.#lastTouchedMs, mtimeMs);
    this.#merge(inode.nodeid, { mtimeMs, mtimeNs: undefined, ctimeMs: mtimeMs });
  }

  /**
   * The inode shows another file's bytes from now on: its mtime becomes later than any change, because libfuse recognises old pages by mtime
   * and size.
   */
  outdate(): void {
    this.#notBeforeMs = this.#lastTouchedMs + 1;
  }

  forget(nodeid: number): void {
    this.#changed.delete(nodeid);
  }

  #merge(nodeid: number, changes: ChangedAttributes): void {
    this.#changed.set(nodeid, { ...this.#changed.get(nodeid), ...changes });
    this.onChange(nodeid);
  }
}

function msOf(time: NewTime, nowMs: number): number {
  return time === 'now' ? nowMs : Number(time) / 1e6;
}

function nsOf(time: NewTime): bigint | undefined {
  return time === 'now' ? undefined : time;
}
