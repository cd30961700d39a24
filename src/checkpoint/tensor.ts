import type { Image } from '../storage/image.ts';
import { DTYPES, type DType, elementsPerItem } from './dtypes.ts';

export { DTYPES, type DType } from './dtypes.ts';

/** The place of a storage's bytes. */
export type StorageBytes =
  /** An uncompressed range of the image: the ordinary case. */
  | {
      readonly kind: 'extent';
      readonly image: Image;
      readonly offset: number;
      readonly length: number;
      /** They lie inside a pickle, which says what the file is. */
      readonly readOnly?: true;
    }
  /** A deflated zip entry: the compressed run and the size it must inflate to. */
  | {
      readonly kind: 'deflated';
      readonly image: Image;
      readonly offset: number;
      readonly compressedLength: number;
      readonly length: number;
      /** CRC-32 of the inflated bytes; a complete pass that yields another CRC fails. */
      readonly crc32?: number;
    }
  /** Bytes inside a pickle that do not lie in the file as they are: text that stands for bytes, a deflated pickle. They never change. */
  | {
      readonly kind: 'decoded';
      readonly length: number;
      /** Where in the image they are decoded from; absent when they are kept. */
      readonly from?: { readonly image: Image; readonly offset: number; readonly length: number };
      /** Cut at `length`. */
      readonly read: (offset: number, length: number) => Promise<Uint8Array>;
    }
  /** No bytes in this file: meta tensors, weights-only stubs. */
  | { readonly kind: 'absent'; readonly reason: string };

/** torch's UntypedStorage: a named run of bytes that tensors view. */
export interface Storage {
  readonly type: 'storage';
  /** The key in the archive, an opaque string. Unique within a checkpoint. */
  readonly key: string;
  /** The dtype of its storage class; undefined for UntypedStorage. */
  readonly dtype: DType | undefined;
  readonly nbytes: number;
  /** `cpu`, `cuda:0`, … as saved. */
  readonly location: string;
  readonly bytes: StorageBytes;
  readonly byteorder: 'little' | 'big';
  /** Left by the last walk that has seen it: walk-marks.ts. */
  mark?: number;
}

/** A view of a storage. Shape and stride in elements, storageOffset in elements. */
export interface Tensor {
  readonly type: 'tensor';
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  readonly storage: Storage;
  readonly requiresGrad: boolean;
  /** `torch.nn.Parameter` (or a subclass) around the tensor. */
  readonly isParameter: boolean;
  /** Lazy conjugate or negation bits: the logical value is conj/neg of the stored one. */
  readonly conj?: boolean;
  readonly neg?: boolean;
  /** Present on quantized tensors. */
  readonly quantizer?: Quantizer;
  /** Name of the subclass that wraps the plain tensor, for display. */
  readonly note?: string;
  /** Left by the last walk that has seen it: walk-marks.ts. */
  mark?: number;
}

/** How the integers of a quantized tensor are scaled: by one scale for all, or by tensors with one per channel. */
export interface Quantizer {
  /** `per_tensor_affine`, `per_channel_affine`, `per_channel_affine_float_qparams`. */
  readonly scheme: string;
  readonly scale: number | Tensor;
  readonly zeroPoint: number | Tensor;
  /** The channels' dimension. */
  readonly axis?: number;
}

/** A tensor and one of its names. The same Tensor object at two names is one memoised tensor. */
export interface NamedTensor {
  /** Keys from the root of the object tree to the tensor, each as Python would print it without quotes. */
  readonly path: readonly string[];
  readonly tensor: Tensor;
}

/** Tensors by their names, in the order of the file. */
export type TensorIndex = Pick<
  ReadonlyMap<string, Tensor>,
  'size' | 'get' | 'has' | 'keys' | 'values' | typeof Symbol.iterator
>;

export function numel(tensor: { readonly shape: readonly number[] }): number {
  let count = 1;
  for (const extent of tensor.shape) count *= extent;
  return count;
}

/** Size of the tensor's exact C-order bytes. */
export function nbytes(tensor: { readonly shape: readonly number[]; readonly dtype: DType }): number {
  return bytesOfElements(tensor.dtype, numel(tensor));
}

/** Bytes from the start of a storage to the end of its first `count` elements; elements that share the last byte take all of it. */
export function bytesOfElements(dtype: DType, count: number): number {
  return Math.ceil(count / elementsPerItem(dtype)) * DTYPES[dtype];
}

/** Where the item that holds an element begins in its storage. */
export function byteOfElement(dtype: DType, index: number): number {
  return Math.floor(index / elementsPerItem(dtype)) * DTYPES[dtype];
}

/** Whether the elements are in C order without gaps; strides of dimensions of one element do not matter. */
export function isContiguous(tensor: Pick<Tensor, 'shape' | 'stride'>): boolean {
  let expected = 1;
  for (let dim = tensor.shape.length - 1; dim >= 0; dim--) {
    const extent = tensor.shape[dim] ?? 0;
    if (extent === 0) return true;
    if (extent !== 1 && tensor.stride[dim] !== expected) return false;
    expected *= extent;
  }
  return true;
}
