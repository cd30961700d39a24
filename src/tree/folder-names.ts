import type { Inode } from '../inode.ts';
import type { FolderEntries } from './folder-entries.ts';
import type { InternedNames } from './interned-names.ts';
import type { FixedNames } from './table-children.ts';

/** The columns that the names of all folders of a tree lie in. */
export interface NameColumns {
  readonly entries: FolderEntries;
  readonly names: InternedNames;
  /** Makes the object of an inode if there is none yet. */
  readonly inodeOf: (nodeid: number) => Inode;
}

/** The tree's own names in one folder; `folder` is its number in the entries. */
export function namesIn(folder: number, { entries, names, inodeOf }: NameColumns): FixedNames {
  return {
    get count() {
      return entries.countIn(folder);
    },
    find: (text) => {
      const name = names.find(text);
      const nodeid = name === undefined ? undefined : entries.find(folder, name);
      return nodeid === undefined ? undefined : inodeOf(nodeid);
    },
    next: (entry) => (entry === undefined ? entries.first(folder) : entries.next(entry)),
    entry: (entry) => [names.text(entries.nameOf(entry)), inodeOf(entries.nodeidOf(entry))],
  };
}
