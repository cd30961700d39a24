import type { Node } from './nodes.ts';

export interface Listed {
  readonly name: string;
  readonly kind: Node['kind'];
  /** Where to go on after it: ascends, and stays the same as long as the name is there. */
  readonly offset: number;
}

/** The first two offsets are those of `.` and `..`. */
const FIRST_OFFSET = 2;

/**
 * The order of a folder's names, so that an offset means the same name in every request of a listing, whatever is made and removed meanwhile.
 * The folder is read when a listing begins; a new name comes last.
 */
export class Listings {
  readonly #known = new WeakMap<Node, readonly Listed[]>();

  /** What was read when the listing began. */
  begun(folder: Node): readonly Listed[] | undefined {
    return this.#known.get(folder);
  }

  begin(folder: Node, names: readonly Omit<Listed, 'offset'>[]): readonly Listed[] {
    const before = new Map(this.#known.get(folder)?.map(({ name, offset }) => [name, offset]));
    let last = Math.max(
      FIRST_OFFSET,
      ...(this.#known
        .get(folder)
        ?.slice(-1)
        .map(({ offset }) => offset) ?? []),
    );
    const old: Listed[] = [];
    const fresh: Listed[] = [];
    for (const found of names) {
      const offset = before.get(found.name);
      if (offset === undefined) fresh.push({ ...found, offset: ++last });
      else old.push({ ...found, offset });
    }
    const listing = [...old.sort((one, other) => one.offset - other.offset), ...fresh];
    this.#known.set(folder, listing);
    return listing;
  }
}

/** The names behind `offset`. */
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
