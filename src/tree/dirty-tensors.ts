import type { Tensor } from '../checkpoint/tensor.ts';
import type { Overlay } from '../storage/overlay.ts';
import { dirtyBytes } from './dirty-bytes.ts';
import { viewKey } from './tensor-files.ts';

/** A tensor that edits reach into. */
export interface DirtyTensor {
  readonly name: string;
  readonly bytes: number;
  readonly ranges: number;
}

/** The tensors with dirty bytes, each under the first of its names. */
export function dirtyTensors(
  overlay: Overlay,
  tensors: Iterable<{ readonly name: string; readonly tensor: Tensor }>,
): DirtyTensor[] {
  if (overlay.empty) return [];
  const dirty: DirtyTensor[] = [];
  const seen = new Set<string>();
  for (const { name, tensor } of tensors) {
    const count = dirtyBytes(overlay, tensor);
    if (count.bytes === 0) continue;
    const key = viewKey(tensor);
    if (seen.has(key)) continue;
    seen.add(key);
    dirty.push({ name, ...count });
  }
  return dirty;
}
