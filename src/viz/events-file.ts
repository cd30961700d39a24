/**
 * A TensorBoard events file that is nowhere written. What it says of a tensor is worked out when somebody reads it: the size of every
 * record is known beforehand, so is where each one lies, and a read makes the records that it touches and no others.
 *
 * Invariant: the bytes are a function of the image's. When it changes, the records that were kept are dropped before the change is
 * acknowledged, and the file's inode is told by its `origin`.
 */
import type { Statistics } from '../numbers/statistics.ts';
import type { ImageRange, RenderedContent } from '../storage/content.ts';
import type { Image } from '../storage/image.ts';
import { Mutex } from '../storage/mutex.ts';
import type { RenderedPages } from '../storage/rendered-pages.ts';
import { Sliced } from '../storage/sliced.ts';
import { type EventTime, TensorEvent, versionEventSize, writeVersionEvent } from './tensor-event.ts';
import { record, recordSize } from './tfrecord.ts';

export interface EventsTensor {
  readonly name: string;
  readonly statistics: () => Promise<Statistics>;
}

/** A record for each tensor behind that of the version. */
interface Records {
  readonly tensors: readonly EventsTensor[];
  /** Where each record begins, the version's first, and where the last one ends. */
  readonly starts: Float64Array;
}

/** Tensors whose statistics are asked for at a time, however many reads there are: one is being read while another is summed up. */
const AT_A_TIME = 2;

export class EventsFile implements RenderedContent {
  readonly kind = 'rendered';
  readonly origin: ImageRange;
  readonly #time: EventTime;
  readonly #cache: RenderedPages;
  readonly #lanes = Array.from({ length: AT_A_TIME }, () => new Mutex());
  #content: number;
  /** Whether records were made of the bytes as they are. */
  #made = false;
  readonly layout: Sliced<Records>;

  constructor(image: Image, tensors: Iterable<EventsTensor>, time: EventTime, cache: RenderedPages) {
    this.origin = { image, offset: 0, length: image.size };
    this.#time = time;
    this.#cache = cache;
    this.layout = new Sliced(() => recordsOf(tensors, time));
    this.#content = cache.newContent();
    image.onChange(() => this.invalidate());
  }

  get size(): number {
    return this.layout.value.starts.at(-1) ?? 0;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const { starts } = this.layout.value;
    const end = Math.min(this.size, offset + length);
    if (offset >= end) return new Uint8Array(0);
    const bytes = Buffer.alloc(end - offset);
    let next = recordAt(starts, offset);
    const work = async () => {
      for (let index = next++; (starts[index] ?? end) < end; index = next++) {
        const start = starts[index] ?? end;
        const made = await this.#record(index);
        const from = Math.max(0, offset - start);
        bytes.set(
          made.subarray(from, from + end - Math.max(start, offset)),
          Math.max(start, offset) - offset,
        );
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
    return bytes;
  }

  invalidate(): void {
    if (!this.#made) return;
    this.#made = false;
    this.#cache.forget(this.#content);
    // What is being made of the old bytes is kept under the old number.
    this.#content = this.#cache.newContent();
  }

  #record(index: number): Promise<Uint8Array> {
    this.#made = true;
    return this.#cache.get(this.#content, index, () => this.#make(index));
  }

  async #make(index: number): Promise<Uint8Array> {
    const tensor = this.layout.value.tensors[index - 1];
    if (tensor === undefined) {
      const size = versionEventSize(this.#time);
      return record(size, (bytes, at) => writeVersionEvent(bytes, at, this.#time));
    }
    const event = new TensorEvent(tensor.name, this.#time);
    const lane = this.#lanes[index % AT_A_TIME] ?? new Mutex();
    const statistics = await lane.run(() => tensor.statistics());
    return record(event.size, (bytes, at) => event.write(bytes, at, statistics));
  }
}

/** Tensors between two yields. */
const SLICE = 64;

function* recordsOf(tensors: Iterable<EventsTensor>, time: EventTime): Generator<void, Records> {
  const listed: EventsTensor[] = [];
  const starts = [0];
  let at = recordSize(versionEventSize(time));
  for (const tensor of tensors) {
    listed.push(tensor);
    starts.push(at);
    at += recordSize(new TensorEvent(tensor.name, time).size);
    if (listed.length % SLICE === 0) yield;
  }
  starts.push(at);
  return { tensors: listed, starts: Float64Array.from(starts) };
}

/** Index of the record that `offset` lies in. */
function recordAt(starts: Float64Array, offset: number): number {
  let low = 0;
  let high = starts.length - 2;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
