/** As what numpy sees tensors. */
import { elementsPerItem, numpyCarrier, numpyDescr } from '../../checkpoint/dtypes.ts';
import { type DType, nbytes, type Tensor } from '../../checkpoint/tensor.ts';
import type { NpyArray } from '../../numbers/npy-header.ts';

/** As what numpy sees a tensor: a dtype that numpy lacks is the unsigned integer of its size, and elements that share a byte are the bytes. */
export function npyArrayOf(tensor: Tensor): NpyArray {
  const { dtype, shape } = tensor;
  const descr = numpyDescr(dtype) ?? numpyCarrier(dtype);
  return { descr, shape: elementsPerItem(dtype) === 1 ? shape : [nbytes(tensor)] };
}

/** The unsigned integer that stands for a dtype that numpy lacks; undefined for a dtype that numpy has. */
export function npyCarrier(dtype: DType): string | undefined {
  return numpyDescr(dtype) === undefined ? numpyCarrier(dtype) : undefined;
}
