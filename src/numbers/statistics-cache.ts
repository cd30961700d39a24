import type { Tensor } from '../checkpoint/tensor.ts';
import type { FixedContent } from '../storage/content.ts';
import type { Image, ImageChange } from '../storage/image.ts';
import { computeStatistics, type Statistics } from './statistics.ts';

interface Kept {
  readonly result: Promise<Statistics>;
  /** The part of the image that the tensor's storage is; absent for a tensor without bytes. */
  readonly image: Image | undefined;
  readonly start: number;
  readonly end: number;
  /** Who still waits for the result. */
  waiting: number;
  readonly abandon: AbortController;
  done: boolean;
}

/** With its histogram an entry takes some 15 KB. Of more tensors than this the oldest are computed again when somebody asks. */
const KEPT_AT_MOST = 2048;

/**
 * Statistics of the tensors of one checkpoint: computed when somebody asks, once for all who ask meanwhile, and kept until a byte of the
 * tensor's storage changes. Who asks while bytes change gets those of before or after; who asks afterwards those of after.
 */
export class StatisticsCache {
  readonly #kept = new Map<Tensor, Kept>();
  readonly #followed = new Set<Image>();

  /** `content` is what the tensor's file shows. The signal ends the waiting, and the work when nobody else waits. */
  async of(tensor: Tensor, content: FixedContent, signal?: AbortSignal): Promise<Statistics> {
    signal?.throwIfAborted();
    const kept = this.#kept.get(tensor) ?? this.#begin(tensor, content);
    kept.waiting++;
    try {
      return await (signal === undefined ? kept.result : Promise.race([kept.result, aborted(signal)]));
    } finally {
      kept.waiting--;
      if (kept.waiting === 0 && !kept.done) {
        this.#forget(tensor, kept);
        kept.abandon.abort();
      }
    }
  }

  #begin(tensor: Tensor, content: FixedContent): Kept {
    const { bytes } = tensor.storage;
    const abandon = new AbortController();
    const result = computeStatistics(content, tensor.dtype, abandon.signal);
    const image = bytes.kind === 'absent' || bytes.kind === 'decoded' ? undefined : bytes.image;
    const [start, end] = rangeOf(tensor);
    const kept: Kept = { result, image, start, end, waiting: 0, abandon, done: false };
    this.#kept.set(tensor, kept);
    result.then(
      () => {
        kept.done = true;
        this.#dropOldest();
      },
      () => {
        kept.done = true;
        this.#forget(tensor, kept);
      },
    );
    if (image !== undefined && !this.#followed.has(image)) {
      this.#followed.add(image);
      image.onChange((change) => this.#changed(image, change));
    }
    return kept;
  }

  #changed(image: Image, { ranges }: ImageChange): void {
    for (const [tensor, kept] of this.#kept) {
      if (kept.image !== image) continue;
      if (ranges.some(({ start, end }) => start < kept.end && end > kept.start)) this.#forget(tensor, kept);
    }
  }

  #dropOldest(): void {
    for (const [tensor, kept] of this.#kept) {
      if (this.#kept.size <= KEPT_AT_MOST) return;
      if (kept.done) this.#kept.delete(tensor);
    }
  }

  #forget(tensor: Tensor, kept: Kept): void {
    if (this.#kept.get(tensor) === kept) this.#kept.delete(tensor);
  }
}

function rangeOf({ storage: { bytes } }: Tensor): readonly [start: number, end: number] {
  if (bytes.kind === 'absent' || bytes.kind === 'decoded') return [0, 0];
  const length = bytes.kind === 'extent' ? bytes.length : bytes.compressedLength;
  return [bytes.offset, bytes.offset + length];
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
