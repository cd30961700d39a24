import type { DType } from '../checkpoint/tensor.ts';
import { MlfsError } from '../errors.ts';
import type { FixedContent } from '../storage/content.ts';
import { loadNative, type NativeStatistics } from '../storage/native.ts';
import { blockError, blockSource, type ElementBlock, elementBlocks, forEachBlock } from './element-blocks.ts';

/**
 * Statistics of the elements of a tensor. NaN and infinities are counted and excluded from everything else. A complex number counts as its absolute
 * value, a quantized one as its stored integer. Without a finite element `min`, `max`, `mean` and `std` are undefined.
 */
export interface Statistics {
  /** All elements. */
  readonly count: number;
  /** Exact for 64-bit integers: a bigint beyond 2^53. */
  readonly min: number | bigint | undefined;
  readonly max: number | bigint | undefined;
  readonly mean: number | undefined;
  /** Standard deviation of the population, like numpy.std. */
  readonly std: number | undefined;
  /** Sum and sum of squares of the finite elements; infinite when they exceed every double. */
  readonly sum: number;
  readonly sumOfSquares: number;
  /** The square root of the sum of squares. It is a finite double even where `sumOfSquares` overflows or underflows. */
  readonly norm: number;
  readonly zeros: number;
  readonly nans: number;
  /** Infinities of either sign. */
  readonly infs: number;
  /** The non-empty buckets in ascending order. */
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

/** Whether the elements of a dtype are numbers and the addon is there to read them. */
export function hasStatistics(dtype: DType): boolean {
  return loadNative()?.isNumber(dtype) ?? false;
}

/**
 * Computes statistics in one pass over the bytes, in native threads. Throws ERR_MLFS_TENSOR for a dtype without statistics, any error of reading,
 * and the signal's reason.
 */
export async function computeStatistics(
  content: FixedContent,
  dtype: DType,
  signal?: AbortSignal,
): Promise<Statistics> {
  const native = loadNative();
  if (!native?.isNumber(dtype)) {
    throw new MlfsError('ERR_MLFS_TENSOR', `elements of ${dtype} have no statistics here`);
  }
  const statistics = new native.Statistics(dtype);
  const add = async (block: ElementBlock) => {
    const source = await blockSource(content, block);
    try {
      await statistics.add(block.index, source);
    } catch (cause) {
      throw blockError(content, source, cause);
    }
  };
  await forEachBlock(elementBlocks(content.size, dtype), add, signal);
  return statisticsFrom(statistics.result());
}

function statisticsFrom(found: ReturnType<NativeStatistics['result']>): Statistics {
  const { count, zeros, nans, infs } = found;
  const some = count - nans - infs > 0;
  const histogram: HistogramBucket[] = [];
  for (let at = 0; at < found.histogram.length; at += 3) {
    const [from = 0, to = 0, inBucket = 0] = found.histogram.subarray(at, at + 3);
    histogram.push({ from, to, count: inBucket });
  }
  return {
    count,
    min: some ? plainInteger(found.min) : undefined,
    max: some ? plainInteger(found.max) : undefined,
    mean: some ? found.mean : undefined,
    std: some ? found.std : undefined,
    sum: some ? found.sum : 0,
    sumOfSquares: some ? found.sumOfSquares : 0,
    norm: some ? found.norm : 0,
    zeros,
    nans,
    infs,
    histogram,
  };
}

/** The same value as a number, where a number holds it exactly. */
function plainInteger(value: number | bigint): number | bigint {
  return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
