/**
 * The entries of all folders of a tree, in columns: each entry is a name and a nodeid, and knows the next entry of its folder. A hash of
 * (folder, name) finds them. 16 bytes an entry and 8 to 16 for the hash; nothing is ever removed.
 *
 * Folders and entries are numbered from 0 in the order in which they were made.
 */
import { randomInt } from 'node:crypto';
import { Uint32Column } from './columns.ts';

/** In place of an entry. Entries are stored with 1 added, so that an empty column means none. */
const NONE = 0;

export class FolderEntries {
  /** By folder. */
  readonly #first = new Uint32Column();
  readonly #last = new Uint32Column();
  readonly #counts = new Uint32Column();
  /** By entry. */
  readonly #folders = new Uint32Column();
  readonly #names = new Uint32Column();
  readonly #nodeids = new Uint32Column();
  readonly #next = new Uint32Column();
  /** Entries by the hash of their folder and name, with open addressing. */
  #buckets = new Uint32Array(256);

  /** Makes a folder without entries. */
  addFolder(): number {
    this.#first.push(NONE);
    this.#last.push(NONE);
    return this.#counts.push(0);
  }

  get count(): number {
    return this.#names.length;
  }

  /** How many entries a folder has. */
  countIn(folder: number): number {
    return this.#counts.at(folder);
  }

  /** The name must be free. Returns the number of the entry. */
  add(folder: number, name: number, nodeid: number): number {
    if ((this.count + 1) * 2 > this.#buckets.length) this.#rehash();
    const entry = this.#names.push(name);
    this.#folders.push(folder);
    this.#nodeids.push(nodeid);
    this.#next.push(NONE);
    const last = this.#last.at(folder);
    if (last === NONE) this.#first.set(folder, entry + 1);
    else this.#next.set(last - 1, entry + 1);
    this.#last.set(folder, entry + 1);
    this.#counts.set(folder, this.#counts.at(folder) + 1);
    this.#put(entry);
    return entry;
  }

  /** The nodeid of an entry; undefined if the name is free. */
  find(folder: number, name: number): number | undefined {
    const mask = this.#buckets.length - 1;
    for (let at = hash(folder, name) & mask; ; at = (at + 1) & mask) {
      const entry = this.#buckets[at] as number;
      if (entry === NONE) return undefined;
      if (this.#names.at(entry - 1) === name && this.#folders.at(entry - 1) === folder)
        return this.#nodeids.at(entry - 1);
    }
  }

  /** The first entry of a folder, or -1; `next` has the others. */
  first(folder: number): number {
    return this.#first.at(folder) - 1;
  }

  next(entry: number): number {
    return this.#next.at(entry) - 1;
  }

  folderOf(entry: number): number {
    return this.#folders.at(entry);
  }

  nameOf(entry: number): number {
    return this.#names.at(entry);
  }

  nodeidOf(entry: number): number {
    return this.#nodeids.at(entry);
  }

  #put(entry: number): void {
    const mask = this.#buckets.length - 1;
    let at = hash(this.#folders.at(entry), this.#names.at(entry)) & mask;
    while (this.#buckets[at] !== NONE) at = (at + 1) & mask;
    this.#buckets[at] = entry + 1;
  }

  #rehash(): void {
    this.#buckets = new Uint32Array(this.#buckets.length * 2);
    for (let entry = 0; entry < this.count; entry++) this.#put(entry);
  }
}

/** Odd, and different in each process: a checkpoint cannot choose names that collide. */
const FOLDER_FACTOR = randomInt(2 ** 32) | 1;
const NAME_FACTOR = randomInt(2 ** 32) | 1;

function hash(folder: number, name: number): number {
  const mixed = Math.imul(folder, FOLDER_FACTOR) ^ Math.imul(name, NAME_FACTOR);
  return Math.imul(mixed ^ (mixed >>> 15), NAME_FACTOR) >>> 5;
}
