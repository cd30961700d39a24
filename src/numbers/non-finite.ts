/**
 * Which tensors have NaN or infinities. Only that is computed: no sums, no histogram. Small tensors share a call of the addon, since 100,000 calls
 * would cost more than reading the tensors; large ones are cut into blocks.
 */
import { type DType, isFloating, numbersPerItem, partsOf } from '../checkpoint/dtypes.ts';
import type { FixedContent } from '../storage/content.ts';
import { inParallel } from '../storage/in-parallel.ts';
import { loadNative, type NativeAddon, type NativeSource } from '../storage/native.ts';
import { readContent } from '../storage/read-extents.ts';
import { type Decode, decoderOf } from './decode.ts';
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

/** Whether elements of this dtype can be NaN or infinite. Floats that share a byte have no code for either. */
export function canBeNonFinite(dtype: DType): boolean {
  return isFloating(dtype) && numbersPerItem(dtype) === 1;
}

/**
 * The tensors with a NaN or an infinity, in order; `canBeNonFinite` holds for all of them. Without the addon this thread counts. Throws any error of reading, with the tensor's name, and the signal's
 * reason between two calls.
 */
export async function findNonFinite(
  tensors: readonly CheckedTensor[],
  onProgress: (doneBytes: number) => void = () => undefined,
  signal?: AbortSignal,
): Promise<NonFiniteTensor[]> {
  const native = loadNative();
  const here = new CountsHere();
  const nans = new Float64Array(tensors.length);
  const infs = new Float64Array(tensors.length);
  let done = 0;
  const batches = batchesOf(tensors);
  const check = async () => {
    for (const batch of batches) {
      signal?.throwIfAborted();
      const counts =
        native === undefined
          ? await here.countsOf(tensors, batch)
          : await countsOf(native.findNonFinite, tensors, batch);
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

/** For each part its NaN and its infinities. */
async function countsOf(
  find: NativeAddon['findNonFinite'],
  tensors: readonly CheckedTensor[],
  batch: readonly Part[],
): Promise<Float64Array> {
  const sources = await sourcesOf(tensors, batch, blockSource);
  const dtypes = batch.map(({ index }) => (tensors[index] as CheckedTensor).dtype);
  return find(dtypes, sources).catch((cause: { readonly index?: number }) => {
    const at = cause.index ?? 0;
    const tensor = tensors[batch[at]?.index ?? 0] as CheckedTensor;
    throw ofTensor(tensor.path, blockError(tensor.content, sources[at] as NativeSource, cause));
  });
}

/** The same on this thread. */
class CountsHere {
  readonly #decoders = new Map<DType, Decode | undefined>();

  async countsOf(tensors: readonly CheckedTensor[], batch: readonly Part[]): Promise<Float64Array> {
    const blocks = await sourcesOf(tensors, batch, (content, { offset, length }) =>
      readContent(content, offset, length),
    );
    const counts = new Float64Array(2 * batch.length);
    for (const [at, { index }] of batch.entries()) {
      this.#count((tensors[index] as CheckedTensor).dtype, blocks[at] as Uint8Array, counts, 2 * at);
    }
    return counts;
  }

  #count(dtype: DType, bytes: Uint8Array, counts: Float64Array, to: number): void {
    if (!this.#decoders.has(dtype)) this.#decoders.set(dtype, decoderOf(dtype));
    const values = this.#decoders.get(dtype)?.(bytes) ?? [];
    const parts = partsOf(dtype);
    for (let at = 0; at < values.length; at += parts) {
      const real = values[at] as number;
      const imaginary = parts === 1 ? 0 : (values[at + 1] as number);
      if (Number.isFinite(real) && Number.isFinite(imaginary)) continue;
      // A complex number with an infinite part is infinite, as its absolute value is.
      const isInfinite = Math.abs(real) === Infinity || Math.abs(imaginary) === Infinity;
      const place = isInfinite ? to + 1 : to;
      counts[place] = (counts[place] as number) + 1;
    }
  }
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

async function sourcesOf<T>(
  tensors: readonly CheckedTensor[],
  batch: readonly Part[],
  sourceOf: (content: FixedContent, part: Pick<Part, 'offset' | 'length'>) => Promise<T>,
): Promise<T[]> {
  const sources = new Array<T>(batch.length);
  await inParallel([...batch.entries()], READS_AT_ONCE, async ([at, { index, offset, length }]) => {
    const tensor = tensors[index] as CheckedTensor;
    try {
      sources[at] = await sourceOf(tensor.content, { offset, length });
    } catch (cause) {
      throw ofTensor(tensor.path, cause);
    }
  });
  return sources;
}
