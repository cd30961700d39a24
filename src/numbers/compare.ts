import type { DType } from '../checkpoint/dtypes.ts';
import type { FixedContent } from '../storage/content.ts';
import { loadNative, type NativeDistance } from '../storage/native.ts';
import { readContent } from '../storage/read-extents.ts';
import { type Distance, DistanceSums } from './distance.ts';
import { blockError, blockSource, type ElementBlock, elementBlocks, forEachBlock } from './element-blocks.ts';

export interface CompareOptions {
  /** Called with the number of bytes of each tensor that were compared since the last call. */
  readonly onBytes?: (bytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The distance between two contents of the same size, in native threads where the elements are numbers with bytes of their own, and by
 * `DistanceSums` otherwise. Undefined when no byte differs. Throws any error of reading, and the signal's reason.
 */
export async function compareContents(
  a: FixedContent,
  b: FixedContent,
  dtype: DType,
  elementsTotal: number,
  { onBytes = () => undefined, signal }: CompareOptions = {},
): Promise<Distance | undefined> {
  const native = loadNative();
  const blocks = elementBlocks(a.size, dtype);
  if (!native?.isNumber(dtype)) return compareHere(a, b, dtype, elementsTotal, blocks, onBytes, signal);
  const distance = new native.Distance(dtype);
  const add = async (block: ElementBlock) => {
    const [source, other] = await Promise.all([blockSource(a, block), blockSource(b, block)]);
    try {
      await distance.add(block.index, source, other);
    } catch (cause) {
      const second = (cause as { readonly second?: boolean }).second === true;
      throw second ? blockError(b, other, cause) : blockError(a, source, cause);
    }
    onBytes(block.length);
  };
  await forEachBlock(blocks, add, signal);
  return distanceFrom(distance.result(elementsTotal), elementsTotal, a.size);
}

async function compareHere(
  a: FixedContent,
  b: FixedContent,
  dtype: DType,
  elementsTotal: number,
  blocks: readonly ElementBlock[],
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<Distance | undefined> {
  const sums = new DistanceSums(dtype);
  for (const { offset, length } of blocks) {
    signal?.throwIfAborted();
    const [one, other] = await Promise.all([a, b].map((content) => readContent(content, offset, length)));
    sums.add(one as Uint8Array, other as Uint8Array);
    onBytes(length);
  }
  return sums.distance(a.size, elementsTotal);
}

function distanceFrom(
  found: ReturnType<NativeDistance['result']>,
  elementsTotal: number,
  bytesTotal: number,
): Distance | undefined {
  if (found.bytes === 0) return undefined;
  const { elements, bytes, becameNonFinite, becameFinite, stayedNonFinite, beyondDouble } = found;
  const measured = found.measured > 0;
  return {
    elements,
    elementsTotal,
    bytes,
    bytesTotal,
    becameNonFinite,
    becameFinite,
    stayedNonFinite,
    beyondDouble,
    maxDistance: measured ? plainInteger(found.max) : null,
    meanDistance: measured ? found.mean : null,
    relative: measured ? found.relative : null,
  };
}

/** The same value as a number, where a number holds it exactly. */
function plainInteger(value: number | bigint): number | bigint {
  return typeof value === 'bigint' && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}
