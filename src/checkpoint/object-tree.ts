/**
 * The object tree as names: every tensor at every path. A path's parts are dict keys as Python prints them, list and
 * tuple indices, and for the recorded objects `<state>` (what BUILD gave them), `<arg0>`… and `<kwargs>` before what is inside.
 *
 * An object that is reached twice is listed at both paths, one that contains itself is not entered again. A forged file can
 * make the number of paths exponential: after `SHARED_WORK`, what was seen before is not entered again either, so every
 * tensor still has at least one path; after `WORK` the file is refused.
 */
import { MlfsError } from '../errors.ts';
import type { Value } from './pickle/values.ts';
import type { NamedTensor, Tensor } from './tensor.ts';
import { type Container, children, isContainer, isTensor } from './value-children.ts';

export { findStateDict, type StateDict } from './state-dict.ts';

/**
 * Children looked at, and the length of the paths listed, counting an object once for each of its paths. A checkpoint of 150,000
 * tensors, its optimizer included, takes some 10 million.
 */
const SHARED_WORK = 16_000_000;
const WORK = 128_000_000;
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
  /** Characters of the parts. */
  #length = 0;
  readonly #open = new Set<Container>();
  readonly #seen = new Set<Container | Tensor>();
  /** Containers with no tensor below them: they need not be entered twice. */
  readonly #barren = new Set<Container>();
  #work = 0;

  constructor(path: string, prefix: readonly string[]) {
    this.#path = path;
    this.#parts = [...prefix];
  }

  /** Returns whether there is a tensor at or below `value`. */
  enter(value: Value): boolean {
    if (isTensor(value)) return this.#add(value);
    if (!isContainer(value) || this.#open.has(value) || this.#barren.has(value)) return false;
    if (this.#isLeftOut(value)) return false;
    if (this.#open.size >= DEPTH) throw this.#refuse(`is nested deeper than ${DEPTH}`);
    this.#open.add(value);
    let found = false;
    for (const [parts, child] of children(value)) {
      this.#work++;
      if (!isTensor(child) && !isContainer(child)) continue;
      this.#push(parts);
      if (this.enter(child)) found = true;
      this.#pop(parts);
    }
    this.#open.delete(value);
    if (!found) this.#barren.add(value);
    return found;
  }

  #add(tensor: Tensor): true {
    if (this.#isLeftOut(tensor)) return true;
    this.#list(tensor);
    const { scale, zeroPoint } = tensor.quantizer ?? {};
    if (typeof scale === 'object') this.#listComponent('scales', scale);
    if (typeof zeroPoint === 'object') this.#listComponent('zero_points', zeroPoint);
    return true;
  }

  #listComponent(name: string, tensor: Tensor): void {
    this.#push([name]);
    this.#list(tensor);
    this.#pop([name]);
  }

  #list(tensor: Tensor): void {
    this.#work += 8 + this.#parts.length * 2 + this.#length / 2;
    this.tensors.push({ path: [...this.#parts], tensor });
  }

  /** Whether there were too many paths already for one more to what has one. */
  #isLeftOut(value: Container | Tensor): boolean {
    if (this.#work > WORK) throw this.#refuse('has more paths than any checkpoint');
    if (this.#work > SHARED_WORK && this.#seen.has(value)) {
      this.abridged = true;
      return true;
    }
    this.#seen.add(value);
    return false;
  }

  #push(parts: readonly string[]): void {
    for (const part of parts) {
      this.#parts.push(part);
      this.#length += part.length;
    }
  }

  #pop(parts: readonly string[]): void {
    this.#parts.length -= parts.length;
    for (const part of parts) this.#length -= part.length;
  }

  #refuse(what: string): MlfsError {
    return new MlfsError('ERR_MLFS_LIMIT', `${this.#path}: the object tree ${what}`, { path: this.#path });
  }
}
