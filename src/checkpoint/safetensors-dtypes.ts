/**
 * safetensors' names of dtypes, and its shapes. A header counts numbers, also where torch's shape counts the bytes that two numbers share
 * (float4_e2m1fn_x2): there the last dimension is as many times longer in the header.
 */
import { type DType, dtypesBy, numbersPerElement } from './dtypes.ts';
import type { Tensor } from './tensor.ts';

export const SAFETENSORS_DTYPES: ReadonlyMap<string, DType> = dtypesBy(({ safetensors }) =>
  safetensors === undefined ? [] : [safetensors],
);

/** The shape that a header has for a tensor. */
export function headerShape({ dtype, shape }: Pick<Tensor, 'dtype' | 'shape'>): readonly number[] {
  const perElement = numbersPerElement(dtype);
  return shape.map((extent, dim) => (dim === shape.length - 1 ? extent * perElement : extent));
}

/** torch's shape of a tensor in a header; undefined when the last dimension does not fill whole elements. */
export function torchShape(dtype: DType, shape: readonly number[]): readonly number[] | undefined {
  const perElement = numbersPerElement(dtype);
  if (perElement === 1) return shape;
  const last = shape.at(-1);
  if (last === undefined || last % perElement !== 0) return undefined;
  return [...shape.slice(0, -1), last / perElement];
}
