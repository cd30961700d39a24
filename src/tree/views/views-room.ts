/** /views: the tree of /model in other formats. */
import type { StatisticsCache } from '../../numbers/statistics-cache.ts';
import type { DirectoryInode } from '../inode.ts';
import type { InodeTable } from '../inode-table.ts';

export interface ViewsSources {
  /** The folder /model, whose tensors are shown. */
  readonly model: DirectoryInode;
  readonly writable: boolean;
  readonly statistics: StatisticsCache;
  /** More elements than this are shown as a head in txt and csv. */
  readonly textElements?: number;
  /** Takes the line and column of a text that could not be taken over. */
  readonly log: (message: string) => void;
}

/** Adds nothing yet. */
export function addViewsRoom(_table: InodeTable, _sources: ViewsSources): void {
  // Its owner fills it.
}
