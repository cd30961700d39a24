import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { PyDict } from '../checkpoint/pickle/values.ts';
import type { Tensor } from '../checkpoint/tensor.ts';
import { isTensor, keyText } from '../checkpoint/value-children.ts';

/** Keys under which training scripts put a dict of gradients by parameter name. torch itself saves none. */
const KEYS = ['grads', 'gradients', 'grad'];

/** The gradients inside a checkpoint, by parameter name. */
export function savedGradients({ root }: Checkpoint): ReadonlyMap<string, Tensor> {
  const found = new Map<string, Tensor>();
  if (!(root instanceof PyDict)) return found;
  for (const key of KEYS) {
    const saved = root.get(key);
    if (!(saved instanceof PyDict)) continue;
    for (const [name, value] of saved.entries) if (isTensor(value)) found.set(keyText(name), value);
  }
  return found;
}
