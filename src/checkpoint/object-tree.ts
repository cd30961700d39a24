/**
 * The object tree as names: every tensor at every path. A path's parts are dict keys as Python prints them, list and
 * tuple indices, and for the recorded objects `<state>` (what BUILD gave them), `<arg0>`… and `<kwargs>` before what is inside.
 *
 * An object that is reached twice is listed at both paths, one that contains itself is not entered again. A forged file of a kilobyte can
 * make the number of paths exponential. So names are counted: from `NAMES`, `SHARED_NAME_BYTES` or `SHARED_WORK` on, what was seen before is
 * not entered again, so every tensor still has at least one path, and the list says that it is abridged; beyond `NAME_BYTES` or `WORK` the file
 * is refused. What holds no tensor is entered once, and no set of containers is kept: the walk writes its marks on them.
 */
import { MlfsError } from '../errors.ts';
import { quoteName } from '../visible-text.ts';
import { NAME_LENGTH } from './name-length.ts';
import type { Value } from './pickle/values.ts';
import type { NamedTensor, Tensor } from './tensor.ts';
import { TorchTensor } from './torch/torch-tensor.ts';
import { isContainer, isTensor, keyText, partAt, rowLength, rowsOf, stepAt } from './value-children.ts';

import { newMarks } from './walk-marks.ts';

export { findStateDict, type StateDict } from './state-dict.ts';

/** Names that a checkpoint may have when some are of shared objects. The largest real checkpoints known have some 150,000. */
export const NAMES = 262_144;
/** Estimated bytes of the paths. 190,000 tensors with names of 100 characters take 36 million. */
const SHARED_NAME_BYTES = 32 * 1024 * 1024;
const NAME_BYTES = 64 * 1024 * 1024;
/** Estimated bytes of a name besides its characters, and of each of its parts. */
const NAME_COST = 32;
const PART_COST = 8;
/** Maximum number of visited values; an object counts once for each of its paths. */
const SHARED_WORK = 8_000_000;
const WORK = 96_000_000;
/** Cost of entering a container, in visited values. */
const ENTER = 8;
/** Maximum depth, beyond what Python's recursion limit lets a pickler write. */
const DEPTH = 2_000;

export interface ObjectTree {
  readonly tensors: readonly NamedTensor[];
  /** Whether some shared objects were listed only at their first path. */
  readonly abridged: boolean;
}

/** Every tensor below `root`, in the tree's order. Throws ERR_MLFS_LIMIT when the tree is too deep or has too many names. */
export function listTensors(root: Value, path: string, prefix: readonly string[] = []): ObjectTree {
  const walk = new TensorWalk(path, prefix);
  walk.enter(root);
  return { tensors: walk.tensors, abridged: walk.abridged };
}

/** A tensor and what leads to it. The path is made when it is asked for. */
export class TreeTensor implements NamedTensor {
  // Private by declaration: V8 keeps #fields of so small an object in a second one.
  readonly tensor: Tensor;
  private readonly above: readonly string[];
  /** Undefined for a file that is one tensor. */
  private readonly key: string | undefined;

  constructor(above: readonly string[], key: string | undefined, tensor: Tensor) {
    this.above = above;
    this.key = key;
    this.tensor = tensor;
  }

  get path(): readonly string[] {
    return this.key === undefined ? [] : [...this.above, this.key];
  }
}

class TensorWalk {
  readonly tensors: NamedTensor[] = [];
  abridged = false;
  readonly #path: string;
  /** What leads to the value that is looked at: keys, whose texts are made when there is a tensor to name. */
  readonly #steps: Value[];
  /** The three marks: being entered; entered, with tensors below (or a tensor that is listed); entered, without tensors. */
  readonly #open = newMarks(3);
  readonly #listed = this.#open + 1;
  readonly #barren = this.#open + 2;
  #depth = 0;
  #work = 0;
  #nameBytes = 0;
  #lastFolder: readonly string[] = [];

  constructor(path: string, prefix: readonly string[]) {
    this.#path = path;
    this.#steps = [...prefix];
  }

  /** Returns whether there is a tensor at or below `value`. */
  enter(value: Value): boolean {
    if (isTensor(value)) return this.#add(value);
    if (!isContainer(value) || value.mark === this.#open || value.mark === this.#barren) return false;
    if (value.mark === this.#listed && this.#isLeftOut()) return true;
    if (this.#depth >= DEPTH) throw this.#refuse(`is nested deeper than ${DEPTH}`);
    this.#depth++;
    value.mark = this.#open;
    let found = false;
    for (const row of rowsOf(value)) {
      const length = rowLength(row);
      this.#spend(length + ENTER);
      for (let index = 0; index < length; index++) {
        const part = partAt(row, index);
        if (part === undefined) continue;
        this.#steps.push(stepAt(row, index));
        if (this.enter(part)) found = true;
        this.#steps.pop();
      }
    }
    this.#depth--;
    value.mark = found ? this.#listed : this.#barren;
    return found;
  }

  #spend(work: number): void {
    this.#work += work;
    if (this.#work > WORK) throw this.#refuse('has more paths than any checkpoint');
  }

  #add(tensor: Tensor): true {
    if (tensor.mark === this.#listed && this.#isLeftOut()) return true;
    tensor.mark = this.#listed;
    this.#list(tensor);
    const { scale, zeroPoint } = tensor.quantizer ?? {};
    if (typeof scale === 'object') this.#listComponent('scales', scale);
    if (typeof zeroPoint === 'object') this.#listComponent('zero_points', zeroPoint);
    const attributes = tensor instanceof TorchTensor ? tensor.attributes : undefined;
    if (attributes !== undefined) {
      this.#steps.push('<state>');
      this.enter(attributes);
      this.#steps.pop();
    }
    return true;
  }

  #listComponent(name: string, tensor: Tensor): void {
    this.#steps.push(name);
    this.#list(tensor);
    this.#steps.pop();
  }

  #list(tensor: Tensor): void {
    const steps = this.#steps;
    const last = steps.length - 1;
    let length = last;
    for (let index = 0; index < steps.length; index++) {
      // Built once for all tensors below it.
      const part = keyText(steps[index] as Value);
      steps[index] = part;
      length += part.length;
    }
    if (length > NAME_LENGTH) {
      const start = quoteName(steps.join('.'));
      throw this.#refuse(`has a tensor with a name of more than ${NAME_LENGTH} characters: ${start}`);
    }
    this.#nameBytes += NAME_COST + PART_COST * steps.length + length;
    if (this.#nameBytes > NAME_BYTES) {
      throw this.#refuse(`has names that take more than ${NAME_BYTES / 1024 / 1024} MiB`);
    }
    const above = this.#folder(last);
    this.tensors.push(new TreeTensor(above, last < 0 ? undefined : (steps[last] as string), tensor));
  }

  /** The steps above the tensor: one array for tensors side by side. */
  #folder(length: number): readonly string[] {
    const folder = this.#lastFolder;
    const steps = this.#steps;
    let isSame = folder.length === Math.max(0, length);
    for (let index = 0; index < folder.length && isSame; index++) isSame = folder[index] === steps[index];
    if (!isSame) this.#lastFolder = steps.slice(0, length) as string[];
    return this.#lastFolder;
  }

  /** Whether there are too many paths to give another one to a value that has one. */
  #isLeftOut(): boolean {
    this.#work++;
    const full =
      this.tensors.length >= NAMES || this.#nameBytes > SHARED_NAME_BYTES || this.#work > SHARED_WORK;
    if (full) this.abridged = true;
    return full;
  }

  #refuse(what: string): MlfsError {
    return new MlfsError('ERR_MLFS_LIMIT', `${this.#path}: the object tree ${what}`, { path: this.#path });
  }
}
