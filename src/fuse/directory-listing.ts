import type { DirectoryInode, Inode } from '../inode.ts';
import type { DirectoryEntry, Entry } from './filesystem.ts';

interface Named {
  readonly name: string;
  readonly inode: Inode;
  /** Where a listing continues after the entry: ascending, and constant as long as the entry exists. */
  readonly offset: number;
}

/** The offsets of `.` and `..` come first. */
const FIRST_OFFSET = 2;
/** Minimum number of gaps that is worth closing. */
const MOST_GAPS = 1024;

/**
 * A directory as it was at the last request for its entries, and the entries that were made and removed since. Names that never change come
 * first, and are asked of the directory each time.
 */
class Listing {
  /** How many names never change. */
  readonly #fixed: number;
  /** Ordered by offset. A removed entry leaves a gap; gaps are closed when there are many. */
  #entries: (Named | undefined)[] = [];
  /** Index of each name in `entries`: known only after the first change. Most folders, the largest among them, never change. */
  #indexes: Map<string, number> | undefined;
  #count = 0;
  #lastOffset: number;
  #gaps = 0;

  constructor(directory: DirectoryInode) {
    this.#fixed = directory.children.fixed ?? 0;
    this.#lastOffset = FIRST_OFFSET + this.#fixed;
    for (const [name, inode] of this.#others(directory)) this.#append(name, inode);
  }

  /** Takes over entries that appeared or disappeared without a call of `add` or `remove`. */
  catchUp(directory: DirectoryInode): void {
    if (this.#fixed + this.#count === directory.children.size) return;
    const indexes = this.#indexesByName();
    for (const name of [...indexes.keys()]) if (!directory.children.has(name)) this.remove(name);
    for (const [name, inode] of this.#others(directory)) if (!indexes.has(name)) this.add(name, inode);
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

  *after(directory: DirectoryInode, offset: number): Generator<Named> {
    let place = Math.max(0, offset - FIRST_OFFSET);
    if (place < this.#fixed) {
      for (const [name, inode] of directory.children.from?.(place) ?? []) {
        if (place++ >= this.#fixed) break;
        yield { name, inode, offset: FIRST_OFFSET + place };
      }
    }
    // All from one state: a request takes its entries in one step.
    const entries = this.#entries;
    for (let index = this.#firstAfter(offset); index < entries.length; index++) {
      const entry = entries[index];
      if (entry !== undefined) yield entry;
    }
  }

  #others({ children }: DirectoryInode): Iterable<readonly [string, Inode]> {
    return children.from?.(this.#fixed) ?? children;
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

  /** Index of the first entry after `offset`, or of a gap before it. */
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
 * The order of a directory's entries: an offset means the same entry in every request, whatever is made and removed between them. `.` has
 * offset 1, `..` has 2; a new entry comes last. Making or removing an entry costs the same in a directory of any size.
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
    for (const { name, inode, offset: after } of listing.after(directory, offset)) {
      yield { name, offset: after, entry: entryOf(inode) };
    }
  }

  /** The directory has a new entry, or a different entry with the same name. */
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
