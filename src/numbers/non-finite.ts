/**
 * Which tensors have NaN or infinities. Only that is computed: no sums, no histogram. Small tensors share a call of the addon, since 100,000 calls
 * would cost more than reading the tensors; large ones are cut into blocks.
 */
import type { DType } from '../checkpoint/dtypes.ts';
import { MlfsError } from '../errors.ts';
import type { FixedContent } from '../storage/content.ts';
import { inParallel } from '../storage/in-parallel.ts';
import { loadNative, type NativeSource } from '../storage/native.ts';
import {
  BLOCK_BYTES,
  blockError,
  blockSource,
  blocksAtOnce,
  elementBlocks,
  ofTensor,
} from './element-blocks.ts';

export interface CheckedTensor {
  /** For messages. */
  readonly path: string;
  readonly dtype: DType;
  readonly content: FixedContent;
}

export interface NonFiniteTensor {
  readonly path: string;
  readonly nans: number;
  readonly infs: number;
}

interface Part {
  /** Of the tensor. */
  readonly index: number;
  readonly offset: number;
  readonly length: number;
}

/** Keeps a call short where tensors are tiny. */
const PARTS_AT_MOST = 1024;
/** Reads of one call that go through JavaScript. */
const READS_AT_ONCE = 8;

/** The tensors with a NaN or an infinity, in order. Throws any error of reading, with the tensor's name, and the signal's reason between two calls. */
export async function findNonFinite(
  tensors: readonly CheckedTensor[],
  onProgress: (doneBytes: number) => void = () => undefined,
  signal?: AbortSignal,
): Promise<NonFiniteTensor[]> {
  const native = loadNative();
  if (native === undefined)
    throw new MlfsError('ERR_MLFS_TENSOR', 'numbers cannot be checked without the addon');
  const nans = new Float64Array(tensors.length);
  const infs = new Float64Array(tensors.length);
  let done = 0;
  const batches = batchesOf(tensors);
  const check = async () => {
    for (const batch of batches) {
      signal?.throwIfAborted();
      const sources = await sourcesOf(tensors, batch);
      const dtypes = batch.map(({ index }) => (tensors[index] as CheckedTensor).dtype);
      const counts = await native
        .findNonFinite(dtypes, sources)
        .catch((cause: { readonly index?: number }) => {
          const at = cause.index ?? 0;
          const tensor = tensors[batch[at]?.index ?? 0] as CheckedTensor;
          throw ofTensor(tensor.path, blockError(tensor.content, sources[at] as NativeSource, cause));
        });
      for (const [at, { index, length }] of batch.entries()) {
        nans[index] = (nans[index] as number) + (counts[2 * at] as number);
        infs[index] = (infs[index] as number) + (counts[2 * at + 1] as number);
        done += length;
      }
      onProgress(done);
    }
  };
  const workers = Array.from({ length: blocksAtOnce() }, (_, worker) => worker);
  await inParallel(workers, workers.length, check);
  const found: NonFiniteTensor[] = [];
  for (const [index, { path }] of tensors.entries()) {
    const [nan = 0, inf = 0] = [nans[index], infs[index]];
    if (nan + inf > 0) found.push({ path, nans: nan, infs: inf });
  }
  return found;
}

function* batchesOf(tensors: readonly CheckedTensor[]): Generator<Part[]> {
  let batch: Part[] = [];
  let bytes = 0;
  for (const [index, { content, dtype }] of tensors.entries()) {
    for (const { offset, length } of elementBlocks(content.size, dtype)) {
      if (batch.length > 0 && (bytes + length > BLOCK_BYTES || batch.length >= PARTS_AT_MOST)) {
        yield batch;
        batch = [];
        bytes = 0;
      }
      batch.push({ index, offset, length });
      bytes += length;
    }
  }
  if (batch.length > 0) yield batch;
}

async function sourcesOf(tensors: readonly CheckedTensor[], batch: readonly Part[]): Promise<NativeSource[]> {
  const sources = new Array<NativeSource>(batch.length);
  await inParallel([...batch.entries()], READS_AT_ONCE, async ([at, { index, offset, length }]) => {
    const tensor = tensors[index] as CheckedTensor;
    try {
      sources[at] = await blockSource(tensor.content, { offset, length });
    } catch (cause) {
      throw ofTensor(tensor.path, cause);
    }
  });
  return sources;
}
