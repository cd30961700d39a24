import type { Children, Inode } from '../inode.ts';

/** The tree's own names in a folder. */
export interface FixedNames {
  readonly count: number;
  find(name: string): Inode | undefined;
  /** The number of the first entry, or of the one behind an entry; -1 behind the last. */
  next(entry: number | undefined): number;
  entry(number: number): readonly [name: string, inode: Inode];
}

/**
 * The names in a folder of an InodeTable: the tree's own, which stay in the table's columns, and then those that were added. A folder may have
 * 200,000 names, and a map of them would be made in one turn of the event loop.
 */
export class TableChildren implements Children {
  readonly #fixed: FixedNames;
  readonly #added = new Map<string, Inode>();
  /** Where a walk stopped last: a listing goes on from there. */
  #place = 0;
  #entry = -1;

  constructor(fixed: FixedNames) {
    this.#fixed = fixed;
  }

  get fixed(): number {
    return this.#fixed.count;
  }

  get size(): number {
    return this.#fixed.count + this.#added.size;
  }

  get(name: string): Inode | undefined {
    return this.#added.get(name) ?? this.#fixed.find(name);
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** The name must not be one of the tree's own. */
  set(name: string, inode: Inode): void {
    this.#added.set(name, inode);
  }

  delete(name: string): boolean {
    return this.#added.delete(name);
  }

  *keys(): Generator<string> {
    for (const [name] of this) yield name;
  }

  *values(): Generator<Inode> {
    for (const [, inode] of this) yield inode;
  }

  [Symbol.iterator](): Generator<readonly [name: string, inode: Inode]> {
    return this.from(0);
  }

  *from(place: number): Generator<readonly [name: string, inode: Inode]> {
    if (place < this.fixed) {
      let entry = this.#entryAt(place);
      for (let at = place; entry >= 0; at++, entry = this.#fixed.next(entry)) {
        this.#place = at;
        this.#entry = entry;
        yield this.#fixed.entry(entry);
      }
    }
    let left = place - this.fixed;
    for (const added of this.#added) if (left-- <= 0) yield added;
  }

  #entryAt(place: number): number {
    const isBehind = this.#entry >= 0 && this.#place <= place;
    let entry = isBehind ? this.#entry : this.#fixed.next(undefined);
    for (let at = isBehind ? this.#place : 0; at < place; at++) entry = this.#fixed.next(entry);
    return entry;
  }
}
