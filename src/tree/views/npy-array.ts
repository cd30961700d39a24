/** How numpy sees tensors. */
import { DTYPES, type DType, nbytes, PACKED_ELEMENTS, type Tensor } from '../../checkpoint/tensor.ts';
import type { NpyArray } from '../../numbers/npy-header.ts';

const DESCRIPTIONS: Readonly<Partial<Record<DType, string>>> = {
  float64: '<f8',
  float32: '<f4',
  float16: '<f2',
  int64: '<i8',
  int32: '<i4',
  int16: '<i2',
  int8: '|i1',
  uint64: '<u8',
  uint32: '<u4',
  uint16: '<u2',
  uint8: '|u1',
  bool: '|b1',
  complex64: '<c8',
  complex128: '<c16',
  qint8: '|i1',
  quint8: '|u1',
  qint32: '<i4',
};

/** How numpy sees a tensor: a dtype that numpy lacks becomes the unsigned integer of its size, and elements that share a byte become the bytes. */
export function npyArrayOf(tensor: Tensor): NpyArray {
  const { dtype, shape } = tensor;
  const descr = DESCRIPTIONS[dtype] ?? carrierOf(dtype);
  return { descr, shape: PACKED_ELEMENTS[dtype] === undefined ? shape : [nbytes(tensor)] };
}

/** The unsigned integer that stands for a dtype that numpy lacks; undefined for a dtype that numpy has. */
export function npyCarrier(dtype: DType): string | undefined {
  return DESCRIPTIONS[dtype] === undefined ? carrierOf(dtype) : undefined;
}

function carrierOf(dtype: DType): string {
  const size = DTYPES[dtype];
  return size === 1 ? '|u1' : `<u${size}`;
}
