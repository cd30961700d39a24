/**
 * /model: the model's own tensors. A folder a module, NAME.bin with a tensor's exact C-order bytes, NAME.grad beside
 * every parameter.
 */
import { pathOfTensorName } from './entry-name.ts';
import type { DirectoryInode } from './inode.ts';
import type { InodeTable } from './inode-table.ts';
import type { ModelTensor } from './model-tensors.ts';
import type { TensorFiles } from './tensor-files.ts';

/** What a bare tensor's file is called. */
const NAMELESS = 'tensor';

export function addModelRoom(
  table: InodeTable,
  room: DirectoryInode,
  tensors: readonly ModelTensor[],
  files: TensorFiles,
): void {
  // Consecutive tensors of one module share the walk to its folder.
  let prefix: string | undefined;
  let folder = room;
  let folderPath = '/model';
  for (const { name, tensor, parameter } of tensors) {
    const path = pathOfTensorName(name === '' && tensors.length === 1 ? NAMELESS : name);
    const stem = path.pop() ?? NAMELESS;
    const joined = path.join('/');
    if (joined !== prefix) {
      folder = table.folderAt(room, path);
      folderPath = joined === '' ? '/model' : `/model/${joined}`;
      prefix = joined;
    }
    files.place(folder, folderPath, stem, tensor, { parameter });
  }
}
