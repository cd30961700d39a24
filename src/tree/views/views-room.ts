/** /views: the tree of /model in other formats. `X.bin` becomes `X.npy`, `X.txt`, `X.csv` and `X.json`. */

import type { DirectoryInode } from '../../inode.ts';
import type { StatisticsCache } from '../../numbers/statistics-cache.ts';
import type { InodeTable } from '../inode-table.ts';
import type { TensorFiles } from '../tensor-files.ts';
import { DEFAULT_TEXT_ELEMENTS } from './text-content.ts';
import { jsonView, npyView, textView } from './view-files.ts';
import { Views } from './view-folders.ts';

export interface ViewsSources {
  /** The folder /model, whose tensors are shown. */
  readonly model: DirectoryInode;
  /** How many folders /model has, with itself, and how many tensors. */
  readonly folders: number;
  readonly tensors: number;
  readonly files: TensorFiles;
  readonly writable: boolean;
  readonly statistics: StatisticsCache;
  /** Larger tensors show only their beginning in txt and csv. */
  readonly textElements?: number;
}

/** Returns the views. */
export function addViewsRoom(table: InodeTable, sources: ViewsSources): Views[] {
  const {
    model,
    folders,
    tensors,
    files,
    writable,
    statistics,
    textElements = DEFAULT_TEXT_ELEMENTS,
  } = sources;
  const views = {
    npy: npyView(),
    txt: textView('txt', textElements),
    csv: textView('csv', textElements),
    json: jsonView(statistics),
  };
  const room = table.folder(table.root, 'views');
  return Object.entries(views).map(([name, view]) => {
    const made = new Views({
      table,
      files,
      view,
      writable: writable && name !== 'json',
      model: model.nodeid,
      folders,
      tensors,
      parent: room.nodeid,
      path: `/views/${name}`,
    });
    table.linkFolder(room, name, made.root);
    return made;
  });
}
