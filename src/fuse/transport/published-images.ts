import type { Image } from '../../storage/image.ts';
import type { MediumFile } from '../../storage/medium.ts';
import type { NativeSession } from '../../storage/native.ts';
import type { Piece } from '../../storage/overlay.ts';

interface PublishedImage {
  readonly index: number;
  /** How many published inodes, and trees with rows, are made of it. */
  inodes: number;
  /** Which segments each published chunk has pieces in. */
  readonly segmentsOf: Map<number, ReadonlySet<MediumFile>>;
  readonly stop: () => void;
}

/**
 * The images and journal segments that the data plane knows, by its indexes, and the dirty chunks of each image. A change of an image is
 * published before its caller is told that it happened.
 *
 * Invariants: an image is known exactly as long as published extents or the rows of a tree name it, so that a checkpoint that was replaced does
 * not keep its disk space. A journal segment is known exactly as long as a published chunk has a piece in it.
 */
export class PublishedImages {
  readonly #native: NativeSession;
  readonly #images = new Map<Image, PublishedImage>();
  readonly #segments = new Map<MediumFile, { readonly index: number; chunks: number }>();
  /** The images that each published inode, or each tree's rows, are made of. */
  readonly #imagesOf = new Map<number | object, ReadonlySet<Image>>();

  constructor(native: NativeSession) {
    this.#native = native;
  }

  /** The index by which extents name the image's base; the dirty chunks of the image are published first. */
  indexOf(image: Image): number {
    const known = this.#images.get(image);
    if (known !== undefined) return known.index;
    const { fd } = image.base;
    if (fd === undefined) throw new Error(`${image.path}: an image without a descriptor cannot be published`);
    const index = this.#native.addFile(fd, image.size);
    const published: PublishedImage = {
      index,
      inodes: 0,
      segmentsOf: new Map(),
      stop: image.onChange(({ chunks, native }) =>
        this.#switch(published, chunks, (at) => image.overlay.chunk(at), native !== undefined),
      ),
    };
    this.#images.set(image, published);
    this.#switch(published, image.overlay.chunkIndexes(), (at) => image.overlay.chunk(at));
    return index;
  }

  /** The published extents of an inode, or the rows of a tree, are now made of these images; of none after it was withdrawn. The previous images may be released. */
  hold(holder: number | object, images: ReadonlySet<Image>): void {
    const before = this.#imagesOf.get(holder) ?? [];
    for (const image of images) this.#known(image).inodes++;
    if (images.size > 0) this.#imagesOf.set(holder, images);
    else this.#imagesOf.delete(holder);
    for (const image of before) {
      const published = this.#known(image);
      published.inodes--;
      if (published.inodes === 0) this.#forget(image, published);
    }
  }

  /** The index of a segment into which the data plane writes; known until it is released, too. */
  holdSegment(file: MediumFile): number {
    const segment = this.#segment(file);
    segment.chunks++;
    return segment.index;
  }

  releaseSegment(file: MediumFile): void {
    this.#letGo(file);
  }

  /** Stops listening to changes. */
  stop(): void {
    for (const { stop } of this.#images.values()) stop();
  }

  #known(image: Image): PublishedImage {
    const published = this.#images.get(image);
    if (published === undefined) throw new Error(`${image.path}: held by an inode, and not published`);
    return published;
  }

  #forget(image: Image, published: PublishedImage): void {
    published.stop();
    this.#images.delete(image);
    this.#switch(published, [...published.segmentsOf.keys()], () => []);
    this.#native.removeFile(published.index);
  }

  #switch(
    image: PublishedImage,
    chunks: Iterable<number>,
    piecesOf: (chunk: number) => readonly Piece[],
    isPublished = false,
  ): void {
    const numbers: number[] = [];
    const abandoned: ReadonlySet<MediumFile>[] = [];
    for (const chunk of chunks) {
      const pieces = piecesOf(chunk);
      numbers.push(chunk, pieces.length);
      const segments = new Set<MediumFile>();
      for (const { start, end, file, fileOffset } of pieces) {
        segments.add(file);
        numbers.push(start, end, this.#segment(file).index, fileOffset);
      }
      for (const file of segments) this.#segment(file).chunks++;
      const before = image.segmentsOf.get(chunk);
      if (before !== undefined) abandoned.push(before);
      if (pieces.length > 0) image.segmentsOf.set(chunk, segments);
      else image.segmentsOf.delete(chunk);
    }
    if (numbers.length === 0) return;
    // The data plane has published its own writes, and may have made more since.
    if (!isPublished) this.#native.switchOverlay(image.index, Float64Array.from(numbers));
    for (const segments of abandoned) for (const file of segments) this.#letGo(file);
  }

  #segment(file: MediumFile): { readonly index: number; chunks: number } {
    let segment = this.#segments.get(file);
    if (segment === undefined) {
      if (file.fd === undefined)
        throw new Error(`${file.path}: a segment without a descriptor cannot be published`);
      // The image's size may grow; the makers of pieces check them.
      segment = { index: this.#native.addFile(file.fd, Number.MAX_SAFE_INTEGER), chunks: 0 };
      this.#segments.set(file, segment);
    }
    return segment;
  }

  #letGo(file: MediumFile): void {
    const segment = this.#segment(file);
    segment.chunks--;
    if (segment.chunks > 0) return;
    this.#segments.delete(file);
    this.#native.removeFile(segment.index);
  }
}
