import type { DirectoryInode, Inode } from '../inode.ts';
import type { DirectoryEntry, Entry } from './filesystem.ts';

interface Named {
  readonly name: string;
  readonly inode: Inode;
  /** Where to go on after the entry: ascends, and is the entry's as long as it is there. */
  readonly offset: number;
}

/** Those of `.` and `..` come first. */
const FIRST_OFFSET = 2;
/** Gaps that are worth closing. */
const MOST_GAPS = 1024;

/** A directory as it was when a request last asked for its entries, and what was made and removed since. */
class Listing {
  /** By offset. A removed entry leaves a gap until there are many. */
  #entries: (Named | undefined)[] = [];
  /** Where a name stands in `entries`: known once something comes or goes. Nothing does in most folders, the largest ones among them. */
  #indexes: Map<string, number> | undefined;
  #count = 0;
  #lastOffset = FIRST_OFFSET;
  #gaps = 0;

  constructor(directory: DirectoryInode) {
    for (const [name, inode] of directory.children) this.#append(name, inode);
  }

  /** Entries that came or went without a word. */
  catchUp(directory: DirectoryInode): void {
    if (this.#count === directory.children.size) return;
    const indexes = this.#indexesByName();
    for (const name of [...indexes.keys()]) if (!directory.children.has(name)) this.remove(name);
    for (const [name, inode] of directory.children) if (!indexes.has(name)) this.add(name, inode);
  }

  add(name: string, inode: Inode): void {
    this.remove(name);
    this.#indexesByName().set(name, this.#entries.length);
    this.#append(name, inode);
  }

  remove(name: string): void {
    const indexes = this.#indexesByName();
    const index = indexes.get(name);
    if (index === undefined) return;
    indexes.delete(name);
    this.#entries[index] = undefined;
    this.#count--;
    if (++this.#gaps > MOST_GAPS && this.#gaps > this.#entries.length / 2) this.#closeGaps();
  }

  *after(offset: number): Generator<Named> {
    // Of one state: a request takes its entries at once.
    const entries = this.#entries;
    for (let index = this.#firstAfter(offset); index < entries.length; index++) {
      const entry = entries[index];
      if (entry !== undefined) yield entry;
    }
  }

  #closeGaps(): void {
    this.#entries = this.#entries.filter((entry) => entry !== undefined);
    this.#gaps = 0;
    this.#indexes = undefined;
  }

  #append(name: string, inode: Inode): void {
    this.#entries.push({ name, inode, offset: ++this.#lastOffset });
    this.#count++;
  }

  #indexesByName(): Map<string, number> {
    if (this.#indexes === undefined) {
      this.#indexes = new Map();
      for (const [index, entry] of this.#entries.entries()) {
        if (entry !== undefined) this.#indexes.set(entry.name, index);
      }
    }
    return this.#indexes;
  }

  /** Index of the first entry behind `offset`, or of a gap before it. */
  #firstAfter(offset: number): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      let index = middle;
      while (index < high && this.#entries[index] === undefined) index++;
      const entry = index < high ? this.#entries[index] : undefined;
      if (entry !== undefined && entry.offset <= offset) low = index + 1;
      else high = middle;
    }
    return low;
  }
}

/**
 * The order of a directory's entries, so that an offset means the same entry in every request, whatever is made and removed
 * between them. `.` has offset 1, `..` 2; a new entry comes last. To make or remove one costs the same however many there are.
 */
export class DirectoryListings {
  readonly #listings = new WeakMap<DirectoryInode, Listing>();

  *entries(
    directory: DirectoryInode,
    parent: DirectoryInode,
    offset: number,
    entryOf: (inode: Inode) => Entry,
  ): Generator<DirectoryEntry> {
    const listing = this.#listing(directory);
    if (offset <= 0) yield { name: '.', offset: 1, entry: entryOf(directory) };
    if (offset <= 1) yield { name: '..', offset: 2, entry: entryOf(parent) };
    for (const { name, inode, offset: after } of listing.after(offset)) {
      yield { name, offset: after, entry: entryOf(inode) };
    }
  }

  /** The directory has a new entry, or another one of the name. */
  added(directory: DirectoryInode, name: string, inode: Inode): void {
    this.#listings.get(directory)?.add(name, inode);
  }

  removed(directory: DirectoryInode, name: string): void {
    this.#listings.get(directory)?.remove(name);
  }

  #listing(directory: DirectoryInode): Listing {
    let listing = this.#listings.get(directory);
    if (listing === undefined) {
      listing = new Listing(directory);
      this.#listings.set(directory, listing);
    }
    listing.catchUp(directory);
    return listing;
  }
}
