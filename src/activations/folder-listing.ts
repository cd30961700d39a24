import type { DirectoryEntry, Entry } from '../fuse/filesystem.ts';
import { CoalescedRuns } from '../storage/coalesced-runs.ts';
import { type Listed, Listings, listedAfter } from './listings.ts';
import { arrayBeside, csvBeside, type Node, type Nodes } from './nodes.ts';

type Name = Omit<Listed, 'offset'>;

/** The nodeid in a listing for entries that were not looked up; no file has it. */
const UNKNOWN_NODEID = 2 ** 28 - 1;

/** The entries of a folder: the files on disk, and the virtual CSVs beside the arrays. */
export class FolderListing {
  readonly #nodes: Nodes;
  readonly #read: (folder: Node) => Promise<readonly Name[]>;
  readonly #listings = new Listings();
  /** Listings of a folder that begin at the same time share one read. */
  readonly #beginning = new WeakMap<Node, CoalescedRuns>();

  /** `read`: lists the folder on disk. */
  constructor(nodes: Nodes, read: (folder: Node) => Promise<readonly Name[]>) {
    this.#nodes = nodes;
    this.#read = read;
  }

  async entries(folder: Node, offset: number): Promise<Iterable<DirectoryEntry>> {
    const begun = offset > 0 ? this.#listings.begun(folder) : undefined;
    const listing = begun ?? (await this.#begin(folder));
    const above = folder.parent ?? folder;
    return this.#entries(folder, above, listing, offset);
  }

  async #begin(folder: Node): Promise<readonly Listed[]> {
    const group =
      this.#beginning.get(folder) ??
      new CoalescedRuns(async () => {
        const found = await this.#read(folder);
        await this.#listings.beginInTurns(folder, this.#names(folder, found));
      });
    this.#beginning.set(folder, group);
    await group.run();
    return this.#listings.begun(folder) ?? [];
  }

  /** The names, with the virtual CSVs. When a name occurs twice, it is the file's. */
  *#names(folder: Node, found: readonly Name[]): Generator<Name> {
    for (const own of found) {
      const csv = own.kind === 'file' ? csvBeside(own.name) : undefined;
      // The CSV comes first, so that a program that removes names in the order of a listing finds each.
      if (csv !== undefined && !folder.hidden.has(csv)) yield { name: csv, kind: 'csv' };
      yield own;
    }
    for (const own of found) if (arrayBeside(own.name) !== undefined) yield own;
  }

  *#entries(
    folder: Node,
    above: Node,
    listing: readonly Listed[],
    offset: number,
  ): Generator<DirectoryEntry> {
    if (offset <= 0) yield { name: '.', offset: 1, entry: nameEntry(folder.nodeid, 'directory') };
    if (offset <= 1) yield { name: '..', offset: 2, entry: nameEntry(above.nodeid, 'directory') };
    for (const { name, kind, offset: after } of listedAfter(listing, offset)) {
      const nodeid = this.#nodes.known(folder, name)?.nodeid ?? UNKNOWN_NODEID;
      yield { name, offset: after, entry: nameEntry(nodeid, kind), nameOnly: true };
    }
  }
}

function nameEntry(nodeid: number, kind: Node['kind']): Entry {
  const shown = kind === 'directory' ? 'directory' : 'file';
  const attr = { nodeid, kind: shown, mode: 0, nlink: 1, uid: 0, gid: 0, size: 0, mtimeMs: 0 } as const;
  return { attr, entryTimeoutMs: 0, attrTimeoutMs: 0 };
}
