/**
 * The object tree as names: every tensor at every path. A path's parts are dict keys as Python prints them, list and
 * tuple indices, and for the recorded objects `<state>` (what BUILD gave them), `<arg0>`… and `<kwargs>` before what is inside.
 *
 * An object that is reached twice is listed at both paths, one that contains itself is not entered again. A forged file can
 * make the number of paths exponential: after `VISITS` of them, what was seen before is not entered again either, so every
 * tensor still has at least one path.
 */
import { MlfsError } from '../errors.ts';
import type { Value } from './pickle/values.ts';
import type { NamedTensor, Tensor } from './tensor.ts';
import { type Container, children, isContainer, isTensor } from './value-children.ts';

export { findStateDict, type StateDict } from './state-dict.ts';

/** Containers entered, counting an object once for each of its paths. */
const VISITS = 1_000_000;
/** Deeper than Python's own recursion limit lets a pickler go. */
const DEPTH = 2_000;

export interface ObjectTree {
  readonly tensors: readonly NamedTensor[];
  /** Some shared objects were listed at their first path only. */
  readonly abridged: boolean;
}

/** Every tensor below `root`, in the tree's order. Throws ERR_MLFS_LIMIT when the tree is too deep. */
export function listTensors(root: Value, path: string, prefix: readonly string[] = []): ObjectTree {
  const walk = new TensorWalk(path, prefix);
  walk.enter(root);
  return { tensors: walk.tensors, abridged: walk.abridged };
}

class TensorWalk {
  readonly tensors: NamedTensor[] = [];
  abridged = false;
  readonly #path: string;
  readonly #parts: string[];
  readonly #open = new Set<Container>();
  readonly #seen = new Set<Container>();
  /** Containers with no tensor below them: they need not be entered twice. */
  readonly #barren = new Set<Container>();
  #visits = 0;

  constructor(path: string, prefix: readonly string[]) {
    this.#path = path;
    this.#parts = [...prefix];
  }

  /** Returns whether there is a tensor at or below `value`. */
  enter(value: Value): boolean {
    if (isTensor(value)) return this.#add(value);
    if (!isContainer(value) || this.#open.has(value) || this.#barren.has(value)) return false;
    if (++this.#visits > VISITS && this.#seen.has(value)) {
      this.abridged = true;
      return false;
    }
    if (this.#open.size >= DEPTH) {
      throw new MlfsError('ERR_MLFS_LIMIT', `${this.#path}: the object tree is nested deeper than ${DEPTH}`, {
        path: this.#path,
      });
    }
    this.#open.add(value);
    this.#seen.add(value);
    let found = false;
    for (const [parts, child] of children(value)) {
      if (!isTensor(child) && !isContainer(child)) continue;
      this.#parts.push(...parts);
      if (this.enter(child)) found = true;
      this.#parts.length -= parts.length;
    }
    this.#open.delete(value);
    if (!found) this.#barren.add(value);
    return found;
  }

  #add(tensor: Tensor): true {
    const path = [...this.#parts];
    this.tensors.push({ path, tensor });
    const { scale, zeroPoint } = tensor.quantizer ?? {};
    if (typeof scale === 'object') this.tensors.push({ path: [...path, 'scales'], tensor: scale });
    if (typeof zeroPoint === 'object')
      this.tensors.push({ path: [...path, 'zero_points'], tensor: zeroPoint });
    return true;
  }
}
