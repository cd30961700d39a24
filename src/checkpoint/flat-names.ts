/**
 * The names of a dict whose keys are the names of its tensors, as in nearly every state dict: no two tensors have the same name, and the dict itself is
 * the index.
 */
import { PyDict, type Value } from './pickle/values.ts';
import type { Tensor, TensorIndex } from './tensor.ts';
import { TorchTensor } from './torch/torch-tensor.ts';
import { isContainer, isTensor, partAt, rowLength, rowsOf } from './value-children.ts';
import { newMarks } from './walk-marks.ts';

/** `_metadata` of a state dict holds a dict for each module. */
const ATTRIBUTES_DEPTH = 4;

export class FlatNames implements TensorIndex {
  readonly #dict: PyDict;

  private constructor(dict: PyDict) {
    this.#dict = dict;
  }

  /** Undefined for a dict with anything but tensors in it, each under one string. */
  static of(dict: PyDict): FlatNames | undefined {
    const mark = newMarks(1);
    for (const [key, value] of dict.entries) {
      if (typeof key !== 'string' || !isTensor(value) || value.mark === mark || hasParts(value)) {
        return undefined;
      }
      value.mark = mark;
    }
    const { attributes } = dict;
    return attributes === undefined || isBarren(attributes, ATTRIBUTES_DEPTH)
      ? new FlatNames(dict)
      : undefined;
  }

  get size(): number {
    return this.#dict.entries.length;
  }

  get(name: string): Tensor | undefined {
    return this.#dict.get(name) as Tensor | undefined;
  }

  has(name: string): boolean {
    return this.#dict.get(name) !== undefined;
  }

  *keys(): Generator<string> {
    for (const [key] of this.#dict.entries) yield key as string;
  }

  *values(): Generator<Tensor> {
    for (const [, value] of this.#dict.entries) yield value as Tensor;
  }

  *[Symbol.iterator](): Generator<[name: string, tensor: Tensor]> {
    for (const [key, value] of this.#dict.entries) yield [key as string, value as Tensor];
  }
}

/** Whether further tensors belong to a tensor. */
function hasParts(tensor: Tensor): boolean {
  const { quantizer } = tensor;
  return quantizer !== undefined || (tensor instanceof TorchTensor && tensor.attributes !== undefined);
}

/** Whether there is no tensor in a value, as far as can be seen in a few steps. */
function isBarren(value: Value, depth: number): boolean {
  if (isTensor(value)) return false;
  if (!isContainer(value)) return true;
  if (depth === 0 || !(value instanceof PyDict)) return false;
  for (const row of rowsOf(value)) {
    const length = rowLength(row);
    for (let index = 0; index < length; index++) {
      const part = partAt(row, index);
      if (part !== undefined && !isBarren(part, depth - 1)) return false;
    }
  }
  return true;
}
