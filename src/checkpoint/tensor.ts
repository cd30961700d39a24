import type { Image } from '../storage/image.ts';

/** torch's names without the `torch.` prefix. `itemsize` in bytes. */
export const DTYPES = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  float8_e4m3fn: 1,
  float8_e5m2: 1,
  float8_e4m3fnuz: 1,
  float8_e5m2fnuz: 1,
  float8_e8m0fnu: 1,
  float4_e2m1fn_x2: 1,
  uint8: 1,
  int8: 1,
  int16: 2,
  int32: 4,
  int64: 8,
  uint16: 2,
  uint32: 4,
  uint64: 8,
  bool: 1,
  complex32: 4,
  complex64: 8,
  complex128: 16,
  quint8: 1,
  qint8: 1,
  qint32: 4,
  quint4x2: 1,
  quint2x4: 1,
  bits8: 1,
  bits16: 2,
  bits1x8: 1,
  bits2x4: 1,
  bits4x2: 1,
} as const;
export type DType = keyof typeof DTYPES;

/** How many elements share a byte in the dtypes whose shape counts elements and not bytes. */
export const PACKED_ELEMENTS: Readonly<Partial<Record<DType, number>>> = { quint4x2: 2, quint2x4: 4 };

/** Where the bytes of a storage are. */
export type StorageBytes =
  /** A run of the image as it is: the ordinary case. */
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
      /** CRC-32 of the inflated bytes; a full pass that ends in another one fails. */
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
  /** The dtype its class names; undefined for UntypedStorage. */
  readonly dtype: DType | undefined;
  readonly nbytes: number;
  /** `cpu`, `cuda:0`, … as saved. */
  readonly location: string;
  readonly bytes: StorageBytes;
  readonly byteorder: 'little' | 'big';
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
  /** Anything that wraps or annotates the plain tensor: a subclass's name. For display. */
  readonly note?: string;
}

/** What the integers of a quantized tensor mean: one scale for all, or tensors with one a channel. */
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

export function numel(tensor: { readonly shape: readonly number[] }): number {
  let count = 1;
  for (const extent of tensor.shape) count *= extent;
  return count;
}

/** Size of the tensor's exact C-order bytes. */
export function nbytes(tensor: { readonly shape: readonly number[]; readonly dtype: DType }): number {
  return Math.ceil(numel(tensor) / (PACKED_ELEMENTS[tensor.dtype] ?? 1)) * DTYPES[tensor.dtype];
}

/** Whether the elements lie in C order without gaps (dimensions of one element do not matter). */
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
