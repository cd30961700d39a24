import type { DirectoryInode, Inode } from '../tree/inode.ts';
import type { DirectoryEntry, Entry } from './filesystem.ts';

interface Named {
  readonly name: string;
  readonly inode: Inode;
  /** Where to go on after the entry: ascends, and is the entry's as long as it is there. */
  readonly offset: number;
}

interface Listing {
  readonly entries: readonly Named[];
  readonly lastOffset: number;
  current: boolean;
}

/**
 * The order of a directory's entries, so that an offset means the same entry in every request, whatever is made and removed
 * between them. `.` has offset 1, `..` 2; a new entry comes last.
 */
export class DirectoryListings {
  readonly #listings = new WeakMap<DirectoryInode, Listing>();

  *entries(
    directory: DirectoryInode,
    parent: DirectoryInode,
    offset: number,
    entryOf: (inode: Inode) => Entry,
  ): Generator<DirectoryEntry> {
    const { entries } = this.#listing(directory);
    if (offset <= 0) yield { name: '.', offset: 1, entry: entryOf(directory) };
    if (offset <= 1) yield { name: '..', offset: 2, entry: entryOf(parent) };
    for (let index = firstAfter(entries, offset); index < entries.length; index++) {
      const { name, inode, offset: after } = entries[index] as Named;
      yield { name, offset: after, entry: entryOf(inode) };
    }
  }

  /** The directory has other entries now; new ones are at the end of its children. */
  changed(directory: DirectoryInode): void {
    const listing = this.#listings.get(directory);
    if (listing !== undefined) listing.current = false;
  }

  #listing(directory: DirectoryInode): Listing {
    const before = this.#listings.get(directory);
    if (before?.current && before.entries.length === directory.children.size) return before;
    const offsets = new Map(before?.entries.map(({ inode, name, offset }) => [name, { inode, offset }]));
    let lastOffset = before?.lastOffset ?? 2;
    const entries: Named[] = [];
    for (const [name, inode] of directory.children) {
      const known = offsets.get(name);
      entries.push({ name, inode, offset: known?.inode === inode ? known.offset : ++lastOffset });
    }
    const listing = { entries, lastOffset, current: true };
    this.#listings.set(directory, listing);
    return listing;
  }
}

/** Index of the first entry behind `offset`. */
function firstAfter(entries: readonly Named[], offset: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((entries[middle] as Named).offset > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}
