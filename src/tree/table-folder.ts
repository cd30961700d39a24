import type { DirectoryInode, Inode } from '../inode.ts';

/** A folder of an InodeTable. Its children's objects are made when somebody asks for them. */
export class TableFolder implements DirectoryInode {
  readonly kind = 'directory';
  readonly nodeid: number;
  readonly parent: number;
  readonly mode: number;
  readonly mtimeMs: number;
  readonly writable: boolean;
  readonly #make: () => Map<string, Inode>;
  #children: Map<string, Inode> | undefined;

  constructor(
    nodeid: number,
    parent: number,
    mtimeMs: number,
    writable: boolean,
    make: () => Map<string, Inode>,
  ) {
    this.nodeid = nodeid;
    this.parent = parent;
    this.mode = writable ? 0o755 : 0o555;
    this.mtimeMs = mtimeMs;
    this.writable = writable;
    this.#make = make;
  }

  get unmade(): boolean {
    return this.#children === undefined;
  }

  get children(): Map<string, Inode> {
    this.#children ??= this.#make();
    return this.#children;
  }
}
