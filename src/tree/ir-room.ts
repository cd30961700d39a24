/** /ir: the program of a TorchScript archive or an exported program, and the module tree otherwise. */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { InodeTable } from './inode-table.ts';
import type { Model } from './model-tensors.ts';

/** Adds nothing yet. */
export function addIrRoom(_table: InodeTable, _checkpoint: Checkpoint, _model: Model): void {
  // Its owner fills it.
}
