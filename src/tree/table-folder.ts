import type { DirectoryInode } from '../inode.ts';
import { type FixedNames, TableChildren } from './table-children.ts';

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
  readonly #names: FixedNames;
  #children: TableChildren | undefined;

  constructor(nodeid: number, parent: number, mtimeMs: number, writable: boolean, names: FixedNames) {
    this.nodeid = nodeid;
    this.parent = parent;
    this.mode = folderMode(writable);
    this.mtimeMs = mtimeMs;
    this.writable = writable;
    this.#names = names;
  }

  get unmade(): boolean {
    return this.#children === undefined;
  }

  get children(): TableChildren {
    this.#children ??= new TableChildren(this.#names);
    return this.#children;
  }

  get fixedNames(): number {
    return this.#names.count;
  }
}
