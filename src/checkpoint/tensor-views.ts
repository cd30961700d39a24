/**
 * When two tensors are the same one: the same view of the same storage (offset, shape, stride, dtype and lazy bits), whatever object a
 * pickle made of them. Views that only overlap are different tensors.
 */
import type { Storage, Tensor } from './tensor.ts';

/** Equal for tensors that are the same view of the same storage. */
export function viewKey(tensor: Tensor): string {
  const bits = `${tensor.conj ? 'c' : ''}${tensor.neg ? 'n' : ''}`;
  return `${tensor.dtype}${bits} ${tensor.storageOffset} ${tensor.shape} ${tensor.stride} ${tensor.storage.key}`;
}

export function isSameView(one: Tensor, other: Tensor): boolean {
  if (one === other) return true;
  return one.storage === other.storage && viewKey(one) === viewKey(other);
}

/** A map from tensors, where tensors that are the same view are one key. */
export class ViewMap<T> {
  /** Most storages have one tensor: it needs no key. */
  readonly #firstOf = new Map<Storage, { readonly tensor: Tensor; value: T }>();
  /** The others, by their view. */
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
