/** /viz: a TensorBoard run with a histogram of every tensor, made on read. */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { StatisticsCache } from '../numbers/statistics-cache.ts';
import type { DirectoryInode } from './inode.ts';
import type { InodeTable } from './inode-table.ts';
import type { ModelTensor } from './model-tensors.ts';

export interface VizSources {
  readonly checkpoint: Checkpoint;
  readonly tensors: readonly ModelTensor[];
  /** The folder /model, whose files hold the tensors' contents. */
  readonly model: DirectoryInode;
  readonly statistics: StatisticsCache;
}

/** Adds nothing yet. */
export function addVizRoom(_table: InodeTable, _sources: VizSources): void {
  // Its owner fills it.
}
