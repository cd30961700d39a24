import type { DirectoryInode, Inode } from '../inode.ts';

export interface TableFolderEntries {
  objects(): Map<string, Inode>;
  count(): number;
}

export function folderMode(writable: boolean): number {
  return writable ? 0o755 : 0o555;
}

/** A folder of an InodeTable. Its children's objects are made when somebody asks for them. */
export class TableFolder implements DirectoryInode {
  readonly kind = 'directory';
  readonly nodeid: number;
  readonly parent: number;
  readonly mode: number;
  readonly mtimeMs: number;
  readonly writable: boolean;
  readonly #entries: TableFolderEntries;
  #children: Map<string, Inode> | undefined;

  constructor(
    nodeid: number,
    parent: number,
    mtimeMs: number,
    writable: boolean,
    entries: TableFolderEntries,
  ) {
    this.nodeid = nodeid;
    this.parent = parent;
    this.mode = folderMode(writable);
    this.mtimeMs = mtimeMs;
    this.writable = writable;
    this.#entries = entries;
  }

  get unmade(): boolean {
    return this.#children === undefined;
  }

  get children(): Map<string, Inode> {
    this.#children ??= this.#entries.objects();
    return this.#children;
  }

  get fixedNames(): number {
    return this.#entries.count();
  }
}
