/** /views: the tree of /model in other formats. `X.bin` becomes `X.npy`, `X.txt`, `X.csv` and `X.json`. */

import type { DirectoryInode } from '../../inode.ts';
import type { StatisticsCache } from '../../numbers/statistics-cache.ts';
import type { InodeTable } from '../inode-table.ts';
import { DEFAULT_TEXT_ELEMENTS } from './text-content.ts';
import { jsonView, npyView, textView } from './view-files.ts';
import { inodesBelow, Views } from './view-folders.ts';

export interface ViewsSources {
  /** The folder /model, whose tensors are shown. */
  readonly model: DirectoryInode;
  readonly writable: boolean;
  readonly statistics: StatisticsCache;
  /** Larger tensors show only their beginning in txt and csv. */
  readonly textElements?: number;
}

export function addViewsRoom(table: InodeTable, sources: ViewsSources): void {
  const { model, writable, statistics, textElements = DEFAULT_TEXT_ELEMENTS } = sources;
  const views = {
    npy: npyView(),
    txt: textView('txt', textElements),
    csv: textView('csv', textElements),
    json: jsonView(statistics),
  };
  const room = table.folder(table.root, 'views');
  const count = inodesBelow(model);
  for (const [name, view] of Object.entries(views)) {
    const folders = new Views(table.reserve(count), view, writable && name !== 'json');
    room.children.set(name, folders.folder(model, room.nodeid));
  }
}
