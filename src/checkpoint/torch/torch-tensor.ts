import type { DType, Quantizer, Storage, Tensor } from '../tensor.ts';

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
  declare readonly conj?: boolean;
  declare readonly neg?: boolean;
  declare readonly quantizer?: Quantizer;
  declare readonly note?: string;

  constructor(fields: Omit<Tensor, 'type'>) {
    this.dtype = fields.dtype;
    this.shape = fields.shape;
    this.stride = fields.stride;
    this.storageOffset = fields.storageOffset;
    this.storage = fields.storage;
    this.requiresGrad = fields.requiresGrad;
    this.isParameter = fields.isParameter;
    if (fields.conj) this.conj = true;
    if (fields.neg) this.neg = true;
    if (fields.quantizer !== undefined) this.quantizer = fields.quantizer;
    if (fields.note !== undefined) this.note = fields.note;
  }

  /** The same view with other annotations, as `nn.Parameter(tensor)` is. */
  with(changes: Partial<Omit<Tensor, 'type'>>): TorchTensor {
    return new TorchTensor({ ...this, ...changes });
  }
}
