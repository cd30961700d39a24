/**
 * /model: the model's own tensors. Each module is a folder. NAME.bin has a tensor's exact C-order bytes, and NAME.grad lies beside every
 * parameter.
 */

import type { ModelTensor } from '../checkpoint/model.ts';
import type { DirectoryInode } from '../inode.ts';
import type { InodeTable } from './inode-table.ts';
import { escapeKey, pathOfTensorName } from './path-names.ts';
import type { TensorFiles } from './tensor-files.ts';

/** The file name of a bare tensor. */
const NAMELESS = 'tensor';

export function addModelRoom(
  table: InodeTable,
  room: DirectoryInode,
  tensors: readonly ModelTensor[],
  files: TensorFiles,
): void {
  // Consecutive tensors of one module share the walk to its folder.
  let module: string | undefined;
  let folder = room;
  for (const { name, tensor, parameter } of tensors) {
    const dot = name.lastIndexOf('.');
    const prefix = dot === -1 ? undefined : name.slice(0, dot);
    if (prefix !== module) {
      folder = prefix === undefined ? room : table.folderAt(room, pathOfTensorName(prefix));
      module = prefix;
    }
    const path = escapeKey(name === '' && tensors.length === 1 ? NAMELESS : name.slice(dot + 1));
    const stem = path.pop() ?? NAMELESS;
    files.place(table.folderAt(folder, path), stem, tensor, parameter ? name : undefined).call(name);
  }
}
