import type { Tensor } from '../checkpoint/tensor.ts';
import type { FixedContent } from '../storage/content.ts';
import type { Image, ImageChange } from '../storage/image.ts';
import { computeStatistics, type Statistics } from './statistics.ts';

interface Kept {
  readonly result: Promise<Statistics>;
  /** The image and range of the tensor's storage; undefined for a tensor without bytes. */
  readonly image: Image | undefined;
  readonly start: number;
  readonly end: number;
  /** How many callers still wait for the result. */
  waiting: number;
  readonly abandon: AbortController;
  done: boolean;
}

/** An entry with its histogram takes some 15 KB. Beyond this number the oldest entries are dropped, and computed again on demand. */
const KEPT_AT_MOST = 2048;

/**
 * Statistics of the tensors of one checkpoint. They are computed on demand, once for all concurrent callers, and kept until a byte of the tensor's
 * storage changes. A call during a change gets the statistics from before or after it; a later call gets those from after it.
 */
export class StatisticsCache {
  readonly #kept = new Map<Tensor, Kept>();
  readonly #followed = new Set<Image>();

  /** `content` is the content of the tensor's file. Aborting the signal ends the wait, and the work if no other caller waits. */
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
