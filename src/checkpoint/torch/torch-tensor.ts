import type { Value } from '../pickle/values.ts';
import type { DType, Quantizer, Storage, Tensor } from '../tensor.ts';
import type { Geometry } from './tensor-geometry.ts';

/** What a tensor must have; everything else is an annotation. */
export interface TensorView extends Geometry {
  readonly dtype: DType;
  readonly storage: Storage;
}

export type Annotations = Pick<Tensor, 'conj' | 'neg' | 'quantizer' | 'note'>;

/** A tensor while its pickle is being read: BUILD may still set `requiresGrad`. */
export class TorchTensor implements Tensor {
  readonly type = 'tensor';
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  readonly storage: Storage;
  requiresGrad: boolean;
  readonly isParameter: boolean;
  mark = 0;
  declare readonly conj?: boolean;
  declare readonly neg?: boolean;
  declare readonly quantizer?: Quantizer;
  declare readonly note?: string;
  /** What a subclass or a parameter was pickled with besides: its attributes. */
  declare attributes?: Value;

  /** Assigns field by field, because a checkpoint creates tens of thousands of these. */
  constructor(view: TensorView, requiresGrad: boolean, isParameter = false, annotations?: Annotations) {
    this.dtype = view.dtype;
    this.shape = view.shape;
    this.stride = view.stride;
    this.storageOffset = view.storageOffset;
    this.storage = view.storage;
    this.requiresGrad = requiresGrad;
    this.isParameter = isParameter;
    if (annotations === undefined) return;
    if (annotations.conj === true) this.conj = true;
    if (annotations.neg === true) this.neg = true;
    if (annotations.quantizer !== undefined) this.quantizer = annotations.quantizer;
    if (annotations.note !== undefined) this.note = annotations.note;
  }
}
