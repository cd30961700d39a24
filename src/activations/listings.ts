import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Node } from './nodes.ts';

export interface Listed {
  readonly name: string;
  readonly kind: Node['kind'];
  /** Where a listing continues after it: ascending, and constant as long as the name exists. */
  readonly offset: number;
}

/** The first two offsets belong to `.` and `..`. */
const FIRST_OFFSET = 2;

/** Names that are processed before other requests run: a fraction of a millisecond. */
const NAMES_PER_TURN = 512;

/**
 * The order of a folder's names: an offset means the same name in every request of a listing, whatever is made and removed in between. The
 * folder is read when a listing begins; a new name comes last.
 */
export class Listings {
  readonly #known = new WeakMap<Node, readonly Listed[]>();

  /** The names that were read when the listing began. */
  begun(folder: Node): readonly Listed[] | undefined {
    return this.#known.get(folder);
  }

  begin(folder: Node, names: Iterable<Omit<Listed, 'offset'>>): readonly Listed[] {
    const steps = this.#begin(folder, names);
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
    }
  }

  /** The same for a folder of any size: other requests are answered in between. One at a time for each folder. */
  async beginInTurns(folder: Node, names: Iterable<Omit<Listed, 'offset'>>): Promise<readonly Listed[]> {
    const steps = this.#begin(folder, names);
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
      await nextTurn();
    }
  }

  *#begin(
    folder: Node,
    names: Iterable<Omit<Listed, 'offset'>>,
  ): Generator<undefined, readonly Listed[], undefined> {
    let steps = 0;
    const found = new Map<string, Omit<Listed, 'offset'>>();
    for (const one of names) {
      found.set(one.name, one);
      if (++steps % NAMES_PER_TURN === 0) yield;
    }
    const before = this.#known.get(folder) ?? [];
    const listing: Listed[] = [];
    for (const { name, offset } of before) {
      const still = found.get(name);
      if (still !== undefined) listing.push({ ...still, offset });
      found.delete(name);
      if (++steps % NAMES_PER_TURN === 0) yield;
    }
    let last = before.at(-1)?.offset ?? FIRST_OFFSET;
    for (const fresh of found.values()) {
      listing.push({ ...fresh, offset: ++last });
      if (++steps % NAMES_PER_TURN === 0) yield;
    }
    this.#known.set(folder, listing);
    return listing;
  }
}

/** The names after `offset`. */
export function* listedAfter(listing: readonly Listed[], offset: number): Generator<Listed> {
  let low = 0;
  let high = listing.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((listing[middle] as Listed).offset > offset) high = middle;
    else low = middle + 1;
  }
  for (let index = low; index < listing.length; index++) yield listing[index] as Listed;
}
