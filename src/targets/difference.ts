/**
 * How two checkpoints differ, tensor by tensor: which tensors only one of them has, which have another dtype or shape, and for tensors whose
 * numbers differ: how many elements, and by how much. Tensors are matched by their path in the mount. Both are read block by block, in native threads.
 */
import { numbersPerElement } from '../checkpoint/dtypes.ts';
import { type DType, numel } from '../checkpoint/tensor.ts';
import { compareContents } from '../numbers/compare.ts';
import type { Distance } from '../numbers/distance.ts';
import { ofTensor } from '../numbers/element-blocks.ts';
import type { TargetTensor, TensorTarget } from './tensor-target.ts';

export type TensorDifference =
  | { readonly kind: 'added' | 'removed'; readonly path: string; readonly bytes: number }
  | {
      readonly kind: 'reshaped';
      readonly path: string;
      readonly before: Described;
      readonly after: Described;
    }
  | ({ readonly kind: 'changed'; readonly path: string } & Distance);

export interface Described {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export interface DifferenceProgress {
  readonly done: number;
  readonly total: number;
}

/** In the order of `before`; tensors that only `after` has come last. Throws any error of reading, with the tensor's name, and the signal's reason. */
export async function* differences(
  before: Pick<TensorTarget, 'tensors'>,
  after: Pick<TensorTarget, 'tensors'>,
  onProgress: (progress: DifferenceProgress) => void = () => undefined,
  signal?: AbortSignal,
): AsyncGenerator<TensorDifference> {
  const others = new Map(after.tensors.map((tensor) => [tensor.path, tensor]));
  const total = before.tensors.reduce((sum, { content }) => sum + content.size, 0);
  let done = 0;
  for (const tensor of before.tensors) {
    const { path, content } = tensor;
    const other = others.get(path);
    others.delete(path);
    if (other === undefined) yield { kind: 'removed', path, bytes: content.size };
    else if (!isAlike(tensor, other)) yield { kind: 'reshaped', path, before: of(tensor), after: of(other) };
    else {
      const elements = numel(tensor) * numbersPerElement(tensor.dtype);
      let compared = 0;
      const onBytes = (bytes: number) => {
        compared += bytes;
        onProgress({ done: done + compared, total });
      };
      const distance = await compareContents(content, other.content, tensor.dtype, elements, {
        onBytes,
        signal,
      }).catch((cause) => {
        throw ofTensor(path, cause);
      });
      if (distance !== undefined) yield { kind: 'changed', path, ...distance };
    }
    done += content.size;
    onProgress({ done, total });
  }
  for (const { path, content } of others.values()) yield { kind: 'added', path, bytes: content.size };
}

function of({ dtype, shape }: TargetTensor): Described {
  return { dtype, shape };
}

function isAlike(one: TargetTensor, other: TargetTensor): boolean {
  return (
    one.dtype === other.dtype &&
    one.shape.join() === other.shape.join() &&
    one.content.size === other.content.size
  );
}
