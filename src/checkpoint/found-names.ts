import type { Tensor } from './tensor.ts';

/** What was found, in columns: a name, and the tensor that has it. */
export class Found {
  readonly names: string[] = [];
  /** Undefined for the value that was named elsewhere: it holds tensors, and its name follows the same rules as theirs. */
  readonly tensors: (Tensor | undefined)[] = [];

  get length(): number {
    return this.names.length;
  }

  push(name: string, tensor: Tensor | undefined): void {
    this.names.push(name);
    this.tensors.push(tensor);
  }

  clear(): void {
    this.names.length = 0;
    this.tensors.length = 0;
  }
}
