/**
 * How two checkpoints differ, tensor by tensor: which are there in one of them alone, which have another dtype or shape, and of those whose numbers are
 * others how many and how far apart. Tensors are matched by their path in the mount. Both are read block by block, equal blocks are only compared.
 */
import type { DType } from '../checkpoint/tensor.ts';
import { DTYPES } from '../checkpoint/tensor.ts';
import { type Decode, decoderOf } from '../numbers/decode.ts';
import { blocksOf, type TargetTensor, type TensorTarget } from './tensor-target.ts';

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

/** Between two tensors of the same dtype and shape. */
export interface Distance {
  /** Elements whose bytes are others. */
  readonly elements: number;
  readonly elementsTotal: number;
  readonly bytes: number;
  readonly bytesTotal: number;
  /** The largest |a - b| of finite elements; null where elements are no numbers. What is not finite on one side counts as changed and has no distance. */
  readonly maxDistance: number | null;
  /** Of all elements. */
  readonly meanDistance: number | null;
  /** |a - b| / |a| by the Euclidean norm; null when a is zero everywhere. */
  readonly relative: number | null;
}

export interface DifferenceProgress {
  readonly done: number;
  readonly total: number;
}

const BLOCK_BYTES = 1024 * 1024;

/** In the order of `before`, what was added last. */
export async function* differences(
  before: Pick<TensorTarget, 'tensors'>,
  after: Pick<TensorTarget, 'tensors'>,
  onProgress: (progress: DifferenceProgress) => void = () => undefined,
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
      const distance = await distanceOf(tensor, other);
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

/** Undefined when all bytes are the same. */
async function distanceOf(a: TargetTensor, b: TargetTensor): Promise<Distance | undefined> {
  const sums = new Sums(a.dtype);
  const others = blocksOf(b.content, BLOCK_BYTES);
  for await (const block of blocksOf(a.content, BLOCK_BYTES)) {
    const other = (await others.next()).value as Uint8Array;
    sums.add(block, other);
  }
  return sums.elements === 0 ? undefined : sums.distance(a.content.size);
}

/** Adds up what two tensors differ by, of blocks of whole elements. */
class Sums {
  elements = 0;
  #bytes = 0;
  #max = 0;
  #sum = 0;
  #squares = 0;
  #ownSquares = 0;
  #counted = 0;
  readonly #itemsize: number;
  readonly #parts: number;
  readonly #decode: Decode | undefined;

  constructor(dtype: DType) {
    this.#itemsize = DTYPES[dtype];
    this.#parts = dtype.startsWith('complex') ? 2 : 1;
    this.#decode = decoderOf(dtype);
  }

  add(a: Uint8Array, b: Uint8Array): void {
    const values = this.#decode?.(a);
    this.#addNorm(values);
    if (Buffer.compare(a, b) === 0) return;
    this.#countBytes(a, b);
    const others = this.#decode?.(b);
    if (values === undefined || others === undefined) return;
    for (let at = 0; at < values.length; at++) {
      const distance = Math.abs((values[at] as number) - (others[at] as number));
      // NaN and infinity are no distance.
      if (!(distance > 0 && distance < Number.POSITIVE_INFINITY)) continue;
      if (distance > this.#max) this.#max = distance;
      this.#sum += distance;
      this.#squares += distance * distance;
    }
  }

  distance(size: number): Distance {
    const elementsTotal = size / this.#itemsize;
    const numbers = this.#decode !== undefined;
    return {
      elements: this.elements,
      elementsTotal,
      bytes: this.#bytes,
      bytesTotal: size,
      maxDistance: numbers ? this.#max : null,
      meanDistance: numbers ? this.#sum / Math.max(1, this.#counted) : null,
      relative: numbers && this.#ownSquares > 0 ? Math.sqrt(this.#squares / this.#ownSquares) : null,
    };
  }

  #addNorm(values: ArrayLike<number> | undefined): void {
    if (values === undefined) return;
    let squares = 0;
    for (let at = 0; at < values.length; at++) {
      const value = values[at] as number;
      // NaN and infinity have no part in a norm.
      const square = value * value;
      if (square < Number.POSITIVE_INFINITY) squares += square;
    }
    this.#ownSquares += squares;
    this.#counted += values.length / this.#parts;
  }

  #countBytes(a: Uint8Array, b: Uint8Array): void {
    for (let start = 0; start < a.length; start += this.#itemsize) {
      let different = 0;
      for (let at = start; at < start + this.#itemsize; at++) if (a[at] !== b[at]) different++;
      this.#bytes += different;
      if (different > 0) this.elements++;
    }
  }
}
