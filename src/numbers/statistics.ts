import { setImmediate as nextTurn } from 'node:timers/promises';
import { DTYPES, type DType } from '../checkpoint/tensor.ts';
import { MlfsError, messageOf } from '../errors.ts';
import type { FixedContent } from '../storage/content.ts';
import { extentLength } from '../storage/extent.ts';
import { loadNative, type NativeStatistics } from '../storage/native.ts';
import { readContent } from '../storage/read-extents.ts';

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

/** Large enough that the cost of a thread switch is negligible, small enough that other work does not wait long for a thread. */
const BLOCK_BYTES = 4 * 1024 * 1024;
/** One per expected processor; the rest of the thread pool stays free for other work. */
const BLOCKS_AT_ONCE = 2;
/** Blocks between two turns of the event loop. */
const BLOCKS_A_TURN = 4;

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
  const blocks = blocksOf(content, dtype);
  let turn = 0;
  const worker = async () => {
    for (const block of blocks) {
      signal?.throwIfAborted();
      await addBlock(statistics, content, block);
      if (++turn % BLOCKS_A_TURN === 0) await nextTurn();
    }
  };
  await Promise.all(Array.from({ length: BLOCKS_AT_ONCE }, worker));
  return statisticsFrom(statistics.result());
}

interface Block {
  readonly index: number;
  /** In the content. */
  readonly offset: number;
  readonly length: number;
}

/** Cuts the content into blocks of whole elements. */
function* blocksOf({ size }: FixedContent, dtype: DType): Generator<Block> {
  const length = BLOCK_BYTES - (BLOCK_BYTES % DTYPES[dtype]);
  for (let index = 0, offset = 0; offset < size; index++, offset += length) {
    yield { index, offset, length: Math.min(length, size - offset) };
  }
}

/** A thread reads an unchanged run of the file by itself; any other block is assembled in memory first. */
async function addBlock(statistics: NativeStatistics, content: FixedContent, block: Block): Promise<void> {
  const { index, offset, length } = block;
  const run = fileRun(content, block);
  if (run === undefined) return statistics.add(index, await readContent(content, offset, length));
  try {
    await statistics.addFromFile(index, run.fd, run.offset, length);
  } catch (cause) {
    const reason = messageOf(cause);
    throw new MlfsError(
      'ERR_MLFS_IO',
      `${run.path}: bytes ${run.offset} to ${run.offset + length}: ${reason}`,
      {
        path: run.path,
        cause,
      },
    );
  }
}

/** The place of a block in the checkpoint file; undefined unless it is a single run without edits. */
function fileRun(content: FixedContent, { offset, length }: Block) {
  if (content.kind !== 'extents' || content.extents.length !== 1) return undefined;
  const [extent] = content.extents;
  if (extent?.kind !== 'image' || offset + length > extentLength(extent)) return undefined;
  const { image } = extent;
  const start = extent.offset + offset;
  const { fd } = image.base;
  if (fd === undefined || image.overlay.touches(start, start + length)) return undefined;
  return { fd, offset: start, path: image.path };
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
