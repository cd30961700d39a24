import type { DType } from '../checkpoint/tensor.ts';
import { MlfsError } from '../errors.ts';
import type { FixedContent } from '../storage/content.ts';

/**
 * What the elements of a tensor are like. NaN and the infinities are counted and take no part in anything else; a complex number takes part as
 * its absolute value, a quantized one as the integer it is stored as. Without a finite element `min`, `max`, `mean` and `std` are undefined.
 */
export interface Statistics {
  /** All elements. */
  readonly count: number;
  readonly min: number | undefined;
  readonly max: number | undefined;
  readonly mean: number | undefined;
  /** Of the population, as numpy.std has it. */
  readonly std: number | undefined;
  /** Sum and sum of squares of the finite elements. */
  readonly sum: number;
  readonly sumOfSquares: number;
  readonly zeros: number;
  readonly nans: number;
  /** Both infinities. */
  readonly infs: number;
  /** The buckets that are not empty, ascending. */
  readonly histogram: readonly HistogramBucket[];
}

/**
 * Finite elements x with `from` <= x < `to` (of negative ones: `from` < x <= `to`). Buckets are quarters of octaves, ±2^e · [1 + q/4, 1 + (q+1)/4),
 * whose edges are exact; zero has the bucket [0, 0].
 */
export interface HistogramBucket {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** Whether the elements of a dtype are numbers. */
export function hasStatistics(_dtype: DType): boolean {
  return false;
}

/**
 * One pass over the bytes, in native threads. Throws ERR_MLFS_TENSOR for a dtype without statistics, what reading throws, and the
 * signal's reason.
 */
export async function computeStatistics(
  content: FixedContent,
  dtype: DType,
  _signal?: AbortSignal,
): Promise<Statistics> {
  throw new MlfsError('ERR_MLFS_TENSOR', `${dtype} of ${content.size} bytes: to be built`);
}
