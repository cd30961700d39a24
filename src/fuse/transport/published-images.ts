import type { Image } from '../../storage/image.ts';
import type { MediumFile } from '../../storage/medium.ts';
import type { NativeSession } from '../../storage/native.ts';

/**
 * The images and journal segments that the data plane knows, by its indexes, and the dirty chunks of each image. A change of an
 * image is published before whoever made it is told that it happened.
 *
 * Invariant: a journal segment is known for as long as a published chunk has a piece in it, and no longer.
 */
export class PublishedImages {
  readonly #native: NativeSession;
  readonly #images = new Map<Image, number>();
  readonly #segments = new Map<MediumFile, { readonly index: number; chunks: number }>();
  /** Which segments each published chunk of an image has pieces in. */
  readonly #segmentsOf = new Map<Image, Map<number, ReadonlySet<MediumFile>>>();
  readonly #stops: (() => void)[] = [];

  constructor(native: NativeSession) {
    this.#native = native;
  }

  /** The index by which extents name the image's base; what is dirty in it is published first. */
  indexOf(image: Image): number {
    const known = this.#images.get(image);
    if (known !== undefined) return known;
    const { fd } = image.base;
    if (fd === undefined) throw new Error(`${image.path}: an image without a descriptor cannot be published`);
    const index = this.#native.addFile(fd, image.size);
    this.#images.set(image, index);
    this.#segmentsOf.set(image, new Map());
    this.#publish(image, index, image.overlay.chunkIndexes());
    this.#stops.push(image.onChange(({ chunks }) => this.#publish(image, index, [...chunks])));
    return index;
  }

  /** Hears of no change any more. */
  stop(): void {
    for (const stop of this.#stops) stop();
  }

  #publish(image: Image, index: number, chunks: readonly number[]): void {
    if (chunks.length === 0) return;
    const numbers: number[] = [];
    const abandoned: ReadonlySet<MediumFile>[] = [];
    const segmentsOf = this.#segmentsOf.get(image) as Map<number, ReadonlySet<MediumFile>>;
    for (const chunk of chunks) {
      const pieces = image.overlay.chunk(chunk);
      numbers.push(chunk, pieces.length);
      const segments = new Set<MediumFile>();
      for (const { start, end, file, fileOffset } of pieces) {
        segments.add(file);
        numbers.push(start, end, this.#segment(file).index, fileOffset);
      }
      for (const file of segments) this.#segment(file).chunks++;
      const before = segmentsOf.get(chunk);
      if (before !== undefined) abandoned.push(before);
      if (pieces.length > 0) segmentsOf.set(chunk, segments);
      else segmentsOf.delete(chunk);
    }
    this.#native.switchOverlay(index, Float64Array.from(numbers));
    for (const segments of abandoned) for (const file of segments) this.#letGo(file);
  }

  #segment(file: MediumFile): { readonly index: number; chunks: number } {
    let segment = this.#segments.get(file);
    if (segment === undefined) {
      if (file.fd === undefined)
        throw new Error(`${file.path}: a segment without a descriptor cannot be published`);
      // Its size grows; pieces are checked by who makes them.
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
