import type { ContentWriter, ImageRange, RenderedContent } from '../storage/content.ts';
import type { ImageUpdate } from '../storage/image.ts';
import { type PageSpan, type RenderedPages, readPaged } from '../storage/rendered-pages.ts';
import { changeElements, type ElementChange, restoreElements } from './element-bits.ts';
import { gather, planGather, type StorageReader, scatter } from './gather.ts';
import { boxesOf, count, type Dim, locate, span } from './strided-layout.ts';

/** A view that must be gathered: its start in the storage, its collapsed dims, and the change its elements need. */
export interface GatheredView {
  readonly start: number;
  readonly dims: readonly Dim[];
  readonly itemsize: number;
  readonly change: ElementChange | undefined;
}

/** The place of a view's storage in the image. */
export interface StorageRange extends ImageRange {
  /** False when elements of the view share bytes. */
  readonly writable: boolean;
}

/**
 * The C-order bytes of a strided view, rendered tile by tile through the rendered pages. A tile is a box of the view: a run of indices of one dim
 * with everything inside it. It is small where small reads are cheap, and grows to 8 MiB where a large tile needs
 * hardly more source reads than a small one (a transposed matrix).
 *
 * Invariant: whenever bytes of the storage change, the pages rendered from them are dropped before the change is acknowledged.
 */
export class GatheredContent implements RenderedContent {
  readonly kind = 'rendered';
  readonly size: number;
  readonly #view: GatheredView;
  /** Chosen at the first read, since most views of a mount are never read. */
  #tiling: Tiling | undefined;
  readonly #source: StorageReader;
  readonly #cache: RenderedPages;
  readonly #content: number;
  /** Unsubscribes from the image; set while pages may exist. */
  #unfollow: (() => void) | undefined;
  readonly origin?: ImageRange;
  readonly writer?: ContentWriter;

  constructor(view: GatheredView, source: StorageReader, cache: RenderedPages, storage?: StorageRange) {
    this.size = count(view.dims) * view.itemsize;
    this.#view = view;
    this.#source = source;
    this.#cache = cache;
    this.#content = cache.newContent();
    if (storage === undefined) return;
    const { image, offset } = storage;
    this.origin = {
      image,
      offset: offset + view.start * view.itemsize,
      length: span(view.dims) * view.itemsize,
    };
    if (!storage.writable) return;
    this.writer = {
      image: storage.image,
      write: (update, offset, bytes) => this.#write(update, storage.offset, offset, bytes),
    };
  }

  invalidate(): void {
    if (this.#unfollow === undefined) return;
    this.#unfollow();
    this.#unfollow = undefined;
    this.#cache.forget(this.#content);
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    const { dims, itemsize } = this.#view;
    this.#tiling ??= chooseTiling(dims, itemsize);
    const tiling = this.#tiling;
    const end = Math.min(this.size, offset + length);
    const pageAt = (at: number) => tileSpan(tiling, at, itemsize);
    return readPaged(offset, end, pageAt, (span) =>
      this.#cache.get(this.#content, span.index, () => {
        this.#follow();
        return this.#render(span, tiling);
      }),
    );
  }

  /** Bytes of a deflated storage never change. */
  #follow(): void {
    if (this.origin === undefined || this.#unfollow !== undefined) return;
    const { image, offset, length } = this.origin;
    this.#unfollow = image.onChange(({ ranges }) => {
      if (ranges.some(({ start, end }) => start < offset + length && end > offset)) this.invalidate();
    });
  }

  /** Writes whole elements to the storage; where the written bytes begin or end inside an element, its other bytes are kept. */
  async #write(update: ImageUpdate, base: number, offset: number, bytes: Uint8Array): Promise<void> {
    const { itemsize, dims, change } = this.#view;
    const storage = {
      sequential: true,
      read: (at: number, length: number) => update.read(base + at, length),
      write: (at: number, changed: Uint8Array) => update.write(base + at, changed),
    };
    const first = Math.floor(offset / itemsize);
    const last = Math.ceil((offset + bytes.byteLength) / itemsize);
    const elements = Buffer.alloc((last - first) * itemsize);
    for (const partial of new Set([first, last - 1])) {
      const element = await gather(storage, this.#view.start + locate(dims, partial), [ONE], itemsize);
      if (change !== undefined) changeElements(element, change);
      elements.set(element, (partial - first) * itemsize);
    }
    elements.set(bytes, offset - first * itemsize);
    if (change !== undefined) restoreElements(elements, change);
    for (const box of boxesOf(dims, first, last)) {
      const from = (box.index - first) * itemsize;
      const part = elements.subarray(from, from + count(box.dims) * itemsize);
      await scatter(storage, this.#view.start + box.start, box.dims, itemsize, part);
    }
  }

  async #render({ start, end }: PageSpan, { dim, inner }: Tiling): Promise<Uint8Array> {
    const { itemsize, dims, change } = this.#view;
    const cut = { size: (end - start) / itemsize / inner, stride: (dims[dim] as Dim).stride };
    const first = this.#view.start + locate(dims, start / itemsize);
    const bytes = await gather(this.#source, first, [cut, ...dims.slice(dim + 1)], itemsize);
    if (change !== undefined) changeElements(bytes, change);
    return bytes;
  }
}

const ONE: Dim = { size: 1, stride: 1 };

/** Tiles take `chunk` indices of dims[dim]; `inner` elements belong to each index, `block` elements to the whole dim. */
interface Tiling {
  readonly dim: number;
  readonly chunk: number;
  readonly inner: number;
  readonly block: number;
}

function tileSpan({ chunk, inner, block }: Tiling, offset: number, itemsize: number): PageSpan {
  const element = Math.floor(offset / itemsize);
  const blockIndex = Math.floor(element / block);
  const chunkIndex = Math.floor((element - blockIndex * block) / (chunk * inner));
  const start = blockIndex * block + chunkIndex * chunk * inner;
  const end = Math.min(start + chunk * inner, (blockIndex + 1) * block);
  const tilesInBlock = Math.ceil(block / (chunk * inner));
  return { index: blockIndex * tilesInBlock + chunkIndex, start: start * itemsize, end: end * itemsize };
}

const SMALLEST_TILE = 64 * 1024;
const FIRST_TILE = 256 * 1024;
const LARGEST_TILE = 8 * 1024 * 1024;
/** Nanoseconds, on a busy machine with two processors: a pread of a cached page with its promise, and copying a byte of it. */
const READ_COST = 12_000;
const BYTE_COST = 0.2;
/** 250 MB/s: beyond it, larger tiles would only slow down small reads. */
const GOOD_ENOUGH_PER_BYTE = 4;
/** Maximum number of reads for one tile: some 50 ms. */
const MAX_WINDOWS = 16384;

function chooseTiling(dims: readonly Dim[], itemsize: number): Tiling {
  let bytes = FIRST_TILE;
  let best = tilingOf(dims, bytes / itemsize);
  let cost = costOf(dims, best, itemsize);
  while (cost.windows > MAX_WINDOWS && bytes > SMALLEST_TILE) {
    bytes /= 2;
    best = tilingOf(dims, bytes / itemsize);
    cost = costOf(dims, best, itemsize);
  }
  while (cost.perByte > GOOD_ENOUGH_PER_BYTE && bytes < LARGEST_TILE) {
    bytes *= 2;
    const larger = tilingOf(dims, bytes / itemsize);
    const largerCost = costOf(dims, larger, itemsize);
    if (largerCost.windows > MAX_WINDOWS) break;
    if (largerCost.perByte < cost.perByte) {
      best = larger;
      cost = largerCost;
    }
  }
  return best;
}

function tilingOf(dims: readonly Dim[], elements: number): Tiling {
  let dim = dims.length - 1;
  let inner = 1;
  while (dim > 0 && inner * (dims[dim] as Dim).size <= elements) {
    inner *= (dims[dim] as Dim).size;
    dim--;
  }
  const { size } = dims[dim] as Dim;
  const chunk = Math.max(1, Math.min(size, Math.floor(elements / inner)));
  return { dim, chunk, inner, block: size * inner };
}

function costOf(dims: readonly Dim[], { dim, chunk, inner }: Tiling, itemsize: number) {
  const box = [{ size: chunk, stride: (dims[dim] as Dim).stride }, ...dims.slice(dim + 1)];
  const { windows, span } = planGather(box, itemsize);
  const cost = windows * (READ_COST + span * itemsize * BYTE_COST);
  return { windows, perByte: cost / (chunk * inner * itemsize) };
}
