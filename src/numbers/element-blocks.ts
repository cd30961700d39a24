/**
 * A tensor's content in blocks for native threads. A thread reads an unchanged run of the checkpoint by itself; any other block is assembled in memory
 * first. The number of blocks that are worked on at once is bounded, and so is the memory.
 */
import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DTYPES, type DType } from '../checkpoint/dtypes.ts';
import { MlfsError, messageOf } from '../errors.ts';
import type { FixedContent } from '../storage/content.ts';
import { contentRun } from '../storage/content-run.ts';
import { inParallel } from '../storage/in-parallel.ts';
import type { NativeSource } from '../storage/native.ts';
import { readContent } from '../storage/read-extents.ts';

/** Large enough that the cost of a thread switch is negligible, small enough that other work does not wait long for a thread. */
export const BLOCK_BYTES = 4 * 1024 * 1024;
/** libuv's number of threads, unless UV_THREADPOOL_SIZE says another. */
const POOL_THREADS = 4;
/** Blocks between two turns of the event loop. */
const BLOCKS_A_TURN = 4;

export interface ElementBlock {
  /** In the order of the content. */
  readonly index: number;
  /** In bytes of the content. */
  readonly offset: number;
  readonly length: number;
}

/** One per processor; one thread of the pool stays free for other work. */
export function blocksAtOnce(): number {
  const threads = Number(process.env.UV_THREADPOOL_SIZE) || POOL_THREADS;
  return Math.max(1, Math.min(availableParallelism(), threads - 1));
}

/** Cuts a content into blocks of whole elements. */
export function elementBlocks(size: number, dtype: DType): ElementBlock[] {
  const length = BLOCK_BYTES - (BLOCK_BYTES % DTYPES[dtype]);
  return Array.from({ length: Math.ceil(size / length) }, (_, index) => {
    const offset = index * length;
    return { index, offset, length: Math.min(length, size - offset) };
  });
}

/** Runs `work` for every block, several at once. Throws what it throws, and the signal's reason between two blocks. */
export async function forEachBlock(
  blocks: readonly ElementBlock[],
  work: (block: ElementBlock) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  let turn = 0;
  await inParallel(blocks, blocksAtOnce(), async (block) => {
    signal?.throwIfAborted();
    await work(block);
    if (++turn % BLOCKS_A_TURN === 0) await nextTurn();
  });
}

/** What a native thread reads the block from. */
export async function blockSource(
  content: FixedContent,
  block: Omit<ElementBlock, 'index'>,
): Promise<NativeSource> {
  return contentRun(content, block.offset, block.length) ?? readContent(content, block.offset, block.length);
}

/** The error of native work on a block of this content. */
export function blockError(content: FixedContent, source: NativeSource, cause: unknown): unknown {
  if (source instanceof Uint8Array || content.kind !== 'extents') return cause;
  const [extent] = content.extents;
  if (extent?.kind !== 'image') return cause;
  const { path } = extent.image;
  const place = `${path}: bytes ${source.offset} to ${source.offset + source.length}`;
  if ((cause as { readonly errno?: number }).errno !== undefined) {
    return new MlfsError('ERR_MLFS_IO', `${place}: ${messageOf(cause)}`, { path, cause });
  }
  return new MlfsError('ERR_MLFS_TRUNCATED', `${place}: the file ends before`, {
    path,
    advice: 'Another program truncated the file; open it again.',
    cause,
  });
}

/** The same error with the tensor's name in front. */
export function ofTensor(path: string, cause: unknown): unknown {
  if (!(cause instanceof MlfsError)) return cause;
  const { code, errno, advice, path: file } = cause;
  return new MlfsError(code, `${path}: ${cause.message}`, { path: file, errno, advice, cause });
}
