import type { Tensor } from '../checkpoint/tensor.ts';
import { viewKey } from '../checkpoint/tensor-views.ts';
import { atOnce } from '../storage/in-slices.ts';
import type { Overlay } from '../storage/overlay.ts';
import { dirtyBytes } from './dirty-bytes.ts';

/** A tensor with dirty bytes. */
export interface DirtyTensor {
  readonly name: string;
  readonly bytes: number;
  readonly ranges: number;
}

interface Named {
  readonly name: string;
  readonly tensor: Tensor;
}

/** The tensors with dirty bytes, each under the first of its names. */
export function dirtyTensors(overlay: Overlay, tensors: Iterable<Named>): DirtyTensor[] {
  return atOnce(dirtyTensorsInSlices(overlay, tensors));
}

/** The same, with a yield between tensors. */
export function* dirtyTensorsInSlices(
  overlay: Overlay,
  tensors: Iterable<Named>,
): Generator<void, DirtyTensor[]> {
  if (overlay.empty) return [];
  const dirty: DirtyTensor[] = [];
  const seen = new Set<string>();
  let looked = 0;
  for (const { name, tensor } of tensors) {
    if (++looked % SLICE === 0) yield;
    const count = dirtyBytes(overlay, tensor);
    if (count.bytes === 0) continue;
    const key = viewKey(tensor);
    if (seen.has(key)) continue;
    seen.add(key);
    dirty.push({ name, ...count });
  }
  return dirty;
}

/** Tensors between two yields. */
const SLICE = 256;
