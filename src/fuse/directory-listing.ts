import type { DirectoryInode, Inode } from '../tree/inode.ts';
import type { DirectoryEntry, Entry } from './filesystem.ts';

interface Named {
  readonly name: string;
  readonly inode: Inode;
}

/**
 * The order of a directory's entries, fixed the first time somebody lists it, so that an offset means the same entry in
 * every request. `.` has index 0, `..` index 1.
 */
export class DirectoryListings {
  readonly #listings = new WeakMap<DirectoryInode, readonly Named[]>();

  *entries(
    directory: DirectoryInode,
    parent: DirectoryInode,
    offset: number,
    entryOf: (inode: Inode) => Entry,
  ): Generator<DirectoryEntry> {
    const listing = this.#listing(directory);
    if (offset <= 0) yield { name: '.', offset: 1, entry: entryOf(directory) };
    if (offset <= 1) yield { name: '..', offset: 2, entry: entryOf(parent) };
    for (let index = Math.max(0, offset - 2); index < listing.length; index++) {
      const named = listing[index] as Named;
      yield { name: named.name, offset: index + 3, entry: entryOf(named.inode) };
    }
  }

  #listing(directory: DirectoryInode): readonly Named[] {
    let listing = this.#listings.get(directory);
    if (listing === undefined || listing.length !== directory.children.size) {
      listing = Array.from(directory.children, ([name, inode]) => ({ name, inode }));
      this.#listings.set(directory, listing);
    }
    return listing;
  }
}
