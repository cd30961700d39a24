/**
 * /model: the model's own tensors. A folder a module, NAME.bin with a tensor's exact C-order bytes, NAME.grad beside
 * every parameter.
 */
import type { Tensor } from '../checkpoint/tensor.ts';
import { pathOfTensorName } from './entry-name.ts';
import type { DirectoryInode } from './inode.ts';
import type { InodeTable } from './inode-table.ts';
import type { TensorFiles } from './tensor-files.ts';

export interface ModelTensor {
  /** The dotted name in the state dict; empty for a file that is one bare tensor. */
  readonly name: string;
  readonly tensor: Tensor;
  readonly parameter: boolean;
}

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

/** Names under which torch's own modules and the common libraries register buffers. */
const BUFFER_NAMES = new Set([
  'running_mean',
  'running_var',
  'num_batches_tracked',
  'position_ids',
  'token_type_ids',
  'inv_freq',
  'attn_mask',
  'causal_mask',
  'relative_position_index',
  'scale_factor',
  'zero_point',
]);

/**
 * Whether a tensor of a state dict trains. A pickled parameter says so; a state dict saves parameters and buffers alike as
 * plain tensors, where only the dtype and the customary names of buffers tell them apart. `anyMarked`: some
 * tensor of the same state dict is marked as a parameter, so those that are not are buffers.
 */
export function looksLikeParameter(name: string, tensor: Tensor, anyMarked: boolean): boolean {
  if (tensor.isParameter || tensor.requiresGrad) return true;
  if (anyMarked) return false;
  if (!/^(float|bfloat|complex)/.test(tensor.dtype)) return false;
  return !BUFFER_NAMES.has(name.slice(name.lastIndexOf('.') + 1));
}
