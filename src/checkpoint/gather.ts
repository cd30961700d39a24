import { inParallel } from '../storage/in-parallel.ts';
import type { BoxDim, Dim } from './strided-layout.ts';
import { locate, planReads, type ReadPlan } from './strided-layout.ts';

/** Reads bytes of a storage. `sequential` sources (deflated ones) are read forward, one window at a time. */
export interface StorageReader {
  read(offset: number, length: number): Promise<Uint8Array>;
  readonly sequential: boolean;
}

/** Reading this many unneeded bytes costs about as much as another pread. */
const GAP_BYTES = 32 * 1024;
const WINDOW_BYTES = 4 * 1024 * 1024;
const IN_FLIGHT_BYTES = 8 * 1024 * 1024;
const READS_AT_ONCE = 64;

export function planGather(box: readonly Dim[], itemsize: number): ReadPlan {
  return planReads(box, GAP_BYTES / itemsize, WINDOW_BYTES / itemsize);
}

/**
 * Copies a box of a strided view into C order: `start` is the storage element of its first element, `box` its dims, outermost
 * first. Bytes are moved and never interpreted. A source window is at most 4 MiB, all in flight 8 MiB; the event loop runs between windows.
 */
export async function gather(
  source: StorageReader,
  start: number,
  box: readonly Dim[],
  itemsize: number,
): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(box.reduce((product, { size }) => product * size, itemsize));
  const words = wordsOf(itemsize);
  const output = wordView(bytes, words.size);
  const plan = planGather(box, itemsize);
  const wide = Math.floor(IN_FLIGHT_BYTES / (plan.span * itemsize));
  const width = source.sequential ? 1 : Math.max(1, Math.min(READS_AT_ONCE, wide));
  await inParallel(windowsOf(plan), width, async ({ from, to, elements, dims }) => {
    const window = wordView(await source.read((start + from) * itemsize, elements * itemsize), words.size);
    copyBox(window, 0, output, to * words.count, loopOrder(dims), 0, words.count);
  });
  return bytes;
}

/** A storage that can be written piece by piece: it reads the present bytes and writes new ones over them. */
export interface StorageWriter {
  read(offset: number, length: number): Promise<Uint8Array>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
}

/**
 * The inverse of gather: writes the C-order bytes of a box into the storage. Bytes between the elements are written back unchanged. No two
 * elements of the box may share bytes.
 */
export async function scatter(
  target: StorageWriter,
  start: number,
  box: readonly Dim[],
  itemsize: number,
  bytes: Uint8Array,
): Promise<void> {
  const words = wordsOf(itemsize);
  const input = wordView(bytes, words.size);
  for (const { from, to, elements, dims } of windowsOf(planGather(box, itemsize))) {
    const offset = (start + from) * itemsize;
    // A copy of its own is aligned for words.
    const window = new Uint8Array(await target.read(offset, elements * itemsize));
    const inverse = dims.map(({ size, stride, outStride }) => ({
      size,
      stride: outStride,
      outStride: stride,
    }));
    copyBox(input, to * words.count, wordView(window, words.size), 0, loopOrder(inverse), 0, words.count);
    await target.write(offset, window);
  }
}

/** One read of the storage, and the part of the box that it serves, in elements. */
interface Window {
  /** Relative to the box's first element in the storage. */
  readonly from: number;
  readonly elements: number;
  /** In the box's C order. */
  readonly to: number;
  readonly dims: readonly BoxDim[];
}

/** The windows of a plan, in the order of the plan's outer dims: forward, where that is possible. */
function windowsOf({ outer, inner, span, windows, cut }: ReadPlan): Window[] {
  const sources: Dim[] = [...outer];
  const targets: Dim[] = outer.map(({ size, outStride }) => ({ size, stride: outStride }));
  const pieces = outer.at(-1)?.size ?? 1;
  return Array.from({ length: windows }, (_, index) => {
    let dims: readonly BoxDim[] = inner;
    let elements = span;
    const [cutDim] = inner;
    if (cut !== undefined && cutDim !== undefined) {
      const missing = cut.piece - Math.min(cut.piece, cut.size - (index % pieces) * cut.piece);
      elements -= missing * cutDim.stride;
      if (missing > 0)
        dims = inner.map((dim) => (dim === cutDim ? { ...dim, size: cut.piece - missing } : dim));
    }
    return { from: locate(sources, index), elements, to: locate(targets, index), dims };
  });
}

type Words = Uint8Array | Uint16Array | Uint32Array;

/** Elements are moved as whole words of up to 4 bytes: as floats, NaNs could change their bits on the way. */
function wordsOf(itemsize: number): { size: 1 | 2 | 4; count: number } {
  const size = itemsize % 4 === 0 ? 4 : itemsize % 2 === 0 ? 2 : 1;
  return { size, count: itemsize / size };
}

function wordView(bytes: Uint8Array, size: 1 | 2 | 4): Words {
  if (size === 1) return bytes;
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const length = bytes.byteLength / size;
  return size === 2
    ? new Uint16Array(aligned.buffer, aligned.byteOffset, length)
    : new Uint32Array(aligned.buffer, aligned.byteOffset, length);
}

/** The innermost loop runs over what is contiguous on both sides, or else over the longest dim. */
function loopOrder(dims: readonly BoxDim[]): BoxDim[] {
  const rank = ({ size, stride, outStride }: BoxDim) =>
    stride === 1 && outStride === 1 && size >= 16 ? Number.POSITIVE_INFINITY : size;
  return dims.toSorted((a, b) => rank(a) - rank(b));
}

function copyBox(
  source: Words,
  from: number,
  target: Words,
  to: number,
  dims: readonly BoxDim[],
  depth: number,
  wordCount: number,
): void {
  const dim = dims[depth];
  if (dim === undefined) {
    for (let word = 0; word < wordCount; word++) target[to + word] = source[from + word] as number;
    return;
  }
  const sourceStep = dim.stride * wordCount;
  const targetStep = dim.outStride * wordCount;
  if (depth < dims.length - 1) {
    for (let index = 0; index < dim.size; index++) {
      copyBox(source, from + index * sourceStep, target, to + index * targetStep, dims, depth + 1, wordCount);
    }
  } else if (dim.stride === 1 && dim.outStride === 1) {
    target.set(source.subarray(from, from + dim.size * wordCount), to);
  } else {
    copyRun(source, from, sourceStep, target, to, targetStep, dim.size, wordCount);
  }
}

function copyRun(
  source: Words,
  from: number,
  sourceStep: number,
  target: Words,
  to: number,
  targetStep: number,
  length: number,
  wordCount: number,
): void {
  for (let word = 0; word < wordCount; word++) {
    let read = from + word;
    let write = to + word;
    for (let index = 0; index < length; index++) {
      target[write] = source[read] as number;
      read += sourceStep;
      write += targetStep;
    }
  }
}
