import { DIRECTORY_LINKS, type FileInode, type Inode } from '../inode.ts';
import type { Layout } from '../storage/content.ts';
import type { AttributeChanges, ChangedAttributes } from './attribute-changes.ts';
import type { AbsentEntry, Attr, Entry, ExactTimes } from './filesystem.ts';
import type { Inodes } from './inodes.ts';
import { isScratch } from './scratch-files.ts';
import type { Snapshots } from './snapshots.ts';

/**
 * A day. The kernel itself sees what is changed through it, and is told what is changed otherwise: it does not wait for a timeout.
 */
export const FIXED_MS = 24 * 60 * 60 * 1000;

/** There is no such name, and only the kernel itself can make it. */
const ABSENT: AbsentEntry = { absent: true, entryTimeoutMs: FIXED_MS };
/** The name does not exist for now: another checkpoint may have it, or it is about to be made again. */
export const ABSENT_NOW: AbsentEntry = { absent: true, entryTimeoutMs: 0 };

export interface AttributesOptions {
  readonly uid: number;
  readonly gid: number;
  readonly inodes: Inodes;
  readonly snapshots: Snapshots;
  readonly changes: AttributeChanges;
  /** Whether the kernel may keep attributes of writable files: either MLFS tells it when they are wrong, or nothing is ever written. */
  readonly kept: () => boolean;
  /** The size of a command file's transcript, in bytes. */
  readonly commandSize: (inode: FileInode) => number;
}

/** Attributes of inodes as the kernel sees them, and how long it may keep them. */
export class Attributes {
  readonly #options: AttributesOptions;

  constructor(options: AttributesOptions) {
    this.#options = options;
  }

  /**
   * A name of the tree never changes its inode, but the name of a scratch file may. Attributes of files that are made on demand, or that
   * grow, are asked for each time.
   */
  entry(inode: Inode): Entry {
    const scratch = isScratch(inode);
    return {
      attr: this.attr(inode),
      entryTimeoutMs: scratch ? 0 : FIXED_MS,
      attrTimeoutMs: scratch || this.#changesByItself(inode) ? 0 : FIXED_MS,
    };
  }

  absent(parent: Inode): AbsentEntry {
    return parent === this.#options.inodes.root ? ABSENT_NOW : ABSENT;
  }

  attr(inode: Inode): Attr {
    const { inodes, changes, uid, gid } = this.#options;
    const nodeid = inodes.nodeidOf(inode);
    const changed = changes.of(inode.nodeid);
    const { size, mtimeMs } = this.#sizeAndTime(inode);
    return {
      nodeid,
      kind: inode.kind,
      mode: changed?.mode ?? inode.mode,
      nlink: inode.kind === 'file' ? inode.nlink : DIRECTORY_LINKS,
      uid: changed?.uid ?? uid,
      gid: changed?.gid ?? gid,
      size,
      ...timesOf(changes.mtimeMs(inode.nodeid, mtimeMs), changed),
    };
  }

  #changesByItself(inode: Inode): boolean {
    if (inode.kind === 'directory') return false;
    const { kind } = inode.content;
    if (pendingLayout(inode) !== undefined) return true;
    return kind === 'snapshot' || kind === 'live' || kind === 'command' || !this.#options.kept();
  }

  #sizeAndTime(inode: Inode): { size: number; mtimeMs: number } {
    if (inode.kind === 'directory') return { size: 0, mtimeMs: inode.mtimeMs };
    const { content } = inode;
    switch (content.kind) {
      case 'live':
        return { size: content.size(), mtimeMs: content.changedMs() };
      case 'stored':
        return { size: content.size(), mtimeMs: inode.mtimeMs };
      case 'command':
        return { size: this.#options.commandSize(inode), mtimeMs: inode.mtimeMs };
      case 'snapshot': {
        const known = this.#options.snapshots.known(inode.nodeid);
        // While the source changes, the latest size is a better answer than none.
        if (content.source !== undefined)
          return { size: content.knownSize?.() ?? known?.size ?? 0, mtimeMs: inode.mtimeMs };
        return { size: known?.size ?? 0, mtimeMs: known?.madeMs ?? inode.mtimeMs };
      }
      default:
        return {
          size: pendingLayout(inode) === undefined ? content.size : 0,
          mtimeMs: inode.mtimeMs,
        };
    }
  }
}

/** The layout that must be known before the size and the extents of an inode are. */
export function pendingLayout(inode: Inode): Layout | undefined {
  if (inode.kind === 'directory') return undefined;
  const { content } = inode;
  const layout = content.kind === 'extents' || content.kind === 'rendered' ? content.layout : undefined;
  return layout?.done === false ? layout : undefined;
}

/** The exact times, if a caller set a time in nanoseconds. */
function timesOf(
  mtimeMs: number,
  changed: ChangedAttributes | undefined,
): Partial<Attr> & { mtimeMs: number } {
  if (changed === undefined) return { mtimeMs };
  const { atimeMs = mtimeMs, ctimeMs = mtimeMs, atimeNs, mtimeNs } = changed;
  if (atimeNs === undefined && mtimeNs === undefined) return { mtimeMs, atimeMs, ctimeMs };
  const modifiedNs = mtimeNs ?? nanoseconds(mtimeMs);
  const exactTimes: ExactTimes = {
    // An atime that was never set is the mtime, to the nanosecond: a late one may not be rounded up.
    atimeNs: atimeNs ?? (changed.atimeMs === undefined ? modifiedNs : nanoseconds(atimeMs)),
    mtimeNs: modifiedNs,
    ctimeNs: nanoseconds(ctimeMs),
  };
  return { mtimeMs, atimeMs, ctimeMs, exactTimes };
}

function nanoseconds(ms: number): bigint {
  return BigInt(Math.floor(ms)) * 1_000_000n;
}
