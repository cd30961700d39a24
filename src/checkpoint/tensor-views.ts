/**
 * Two tensors are the same when they are the same view of the same storage (offset, shape, stride, dtype and lazy bits), even if the pickle
 * made two objects. Views that merely overlap are different tensors.
 */
import type { Storage, Tensor } from './tensor.ts';

/** Whether two tensors are the same view of the same storage. */
export function viewKey(tensor: Tensor): string {
  const bits = `${tensor.conj ? 'c' : ''}${tensor.neg ? 'n' : ''}`;
  return `${tensor.dtype}${bits} ${tensor.storageOffset} ${tensor.shape} ${tensor.stride} ${tensor.storage.key}`;
}

export function isSameView(one: Tensor, other: Tensor): boolean {
  if (one === other) return true;
  return one.storage === other.storage && viewKey(one) === viewKey(other);
}

/** A map with tensors as keys; tensors that are the same view are one key. */
export class ViewMap<T> {
  /** The only tensor of a storage, which needs no view key. Most storages have only one. */
  readonly #firstOf = new Map<Storage, { readonly tensor: Tensor; value: T }>();
  /** Further tensors of a storage, by their view. */
  readonly #others = new Map<string, T>();

  get size(): number {
    return this.#firstOf.size + this.#others.size;
  }

  get(tensor: Tensor): T | undefined {
    const first = this.#firstOf.get(tensor.storage);
    if (first === undefined) return undefined;
    return isSameView(first.tensor, tensor) ? first.value : this.#others.get(viewKey(tensor));
  }

  has(tensor: Tensor): boolean {
    const first = this.#firstOf.get(tensor.storage);
    if (first === undefined) return false;
    return isSameView(first.tensor, tensor) || this.#others.has(viewKey(tensor));
  }

  set(tensor: Tensor, value: T): void {
    const first = this.#firstOf.get(tensor.storage);
    if (first === undefined) this.#firstOf.set(tensor.storage, { tensor, value });
    else if (isSameView(first.tensor, tensor)) first.value = value;
    else this.#others.set(viewKey(tensor), value);
  }
}

/** A set of tensors; tensors that are the same view count once. */
export class ViewSet {
  /** The first tensor of each storage. */
  readonly #firstOf = new Map<Storage, Tensor>();
  /** Further tensors of a storage, by their view. */
  readonly #others = new Set<string>();

  get size(): number {
    return this.#firstOf.size + this.#others.size;
  }

  has(tensor: Tensor): boolean {
    const first = this.#firstOf.get(tensor.storage);
    if (first === undefined) return false;
    return isSameView(first, tensor) || this.#others.has(viewKey(tensor));
  }

  /** Returns whether the tensor was not in the set. */
  add(tensor: Tensor): boolean {
    const first = this.#firstOf.get(tensor.storage);
    if (first === undefined) {
      this.#firstOf.set(tensor.storage, tensor);
      return true;
    }
    if (isSameView(first, tensor)) return false;
    const { size } = this.#others;
    return this.#others.add(viewKey(tensor)).size > size;
  }
}

/** Tensors, each once, numbered from 0 in the order in which they were added; tensors that are the same view are one. */
export class DistinctTensors {
  /** The number of the first tensor of a storage, which needs no view key. Most storages have only one. */
  readonly #firstOf = new Map<Storage, number>();
  /** Numbers of further tensors of a storage, by their view. */
  readonly #others = new Map<string, number>();
  readonly #tensors: Tensor[] = [];

  get size(): number {
    return this.#tensors.length;
  }

  /** The tensor that was added with this number. */
  at(number: number): Tensor {
    return this.#tensors[number] as Tensor;
  }

  /** The number of a tensor; undefined if it was not added. */
  find(tensor: Tensor): number | undefined {
    const first = this.#firstOf.get(tensor.storage);
    if (first === undefined || isSameView(this.at(first), tensor)) return first;
    return this.#others.get(viewKey(tensor));
  }

  /** The number of a tensor, which is added if necessary. */
  add(tensor: Tensor): number {
    const known = this.find(tensor);
    if (known !== undefined) return known;
    const number = this.#tensors.push(tensor) - 1;
    if (this.#firstOf.has(tensor.storage)) this.#others.set(viewKey(tensor), number);
    else this.#firstOf.set(tensor.storage, number);
    return number;
  }
}
