/** /ir: the program of a TorchScript archive or an exported program, and the tree of modules. */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { PageCache } from '../storage/page-cache.ts';
import type { InodeTable } from './inode-table.ts';
import type { Model } from './model-tensors.ts';

export interface IrSources {
  readonly checkpoint: Checkpoint;
  readonly model: Model;
  readonly cache: PageCache;
}

/** Adds nothing yet. */
export function addIrRoom(_table: InodeTable, _sources: IrSources): void {
  // Its owner fills it.
}
