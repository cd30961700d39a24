import type { Tensor, TensorIndex } from './tensor.ts';
import { isSameView } from './tensor-views.ts';

/** A map of names where each name leads to one tensor. */
export class UniqueNames {
  readonly names = new Map<string, Tensor>();
  /** Names that were changed because another tensor has the name. */
  readonly separated: string[] = [];
  /** What the value that was named elsewhere is called; undefined when it was not come to. */
  elsewhere: string | undefined;
  readonly #taken: TensorIndex;
  /** For each name, how many tensors wanted it: hundreds of thousands of tensors in a forged file may want the same name. */
  readonly #wanted = new Map<string, number>();

  constructor(taken: TensorIndex) {
    this.#taken = taken;
  }

  /** Names a tensor `name`, or the first of `name~2`, `name~3`, … that no other tensor has. Returns the name. */
  add(name: string, tensor: Tensor): string {
    if (this.#ownerOf(name) === undefined) {
      this.names.set(name, tensor);
      return name;
    }
    let nth = this.#wanted.get(name) ?? 1;
    for (; ; nth++) {
      const candidate = nth === 1 ? name : `${name}~${nth}`;
      const owner = this.#ownerOf(candidate);
      if (owner !== undefined && !isSameView(owner, tensor)) continue;
      if (owner === undefined) {
        this.names.set(candidate, tensor);
        if (nth > 1) this.separated.push(candidate);
      }
      if (nth > 1) this.#wanted.set(name, nth);
      return candidate;
    }
  }

  #ownerOf(name: string): Tensor | undefined {
    return this.names.get(name) ?? (this.#taken.size === 0 ? undefined : this.#taken.get(name));
  }
}
