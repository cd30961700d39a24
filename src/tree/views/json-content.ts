/**
 * A tensor as a JSON document: its facts, its place in the file, its statistics. The size is fixed, so that `stat` computes nothing: the
 * document is padded with spaces before its last newline. The statistics are computed when it is read.
 */
import { nbytes, type Tensor } from '../../checkpoint/tensor.ts';
import { MlfsError } from '../../errors.ts';
import { exactJson } from '../../numbers/exact-json.ts';
import { type HistogramBucket, hasStatistics, type Statistics } from '../../numbers/statistics.ts';
import type { StatisticsCache } from '../../numbers/statistics-cache.ts';
import type { FixedContent, ImageRange, RenderedContent } from '../../storage/content.ts';
import { extentLength } from '../../storage/extent.ts';
import { bounded, visibleJson } from '../../visible-text.ts';
import { fileOffset } from '../tensor-files.ts';
import { npyCarrier } from './npy-array.ts';

/** Buckets of a histogram: neighbours are joined until no more than these remain. */
const MOST_BUCKETS = 40;
/** Room for two numbers of 24 characters, a count of 16, and the separators. */
const LONGEST_BUCKET = 24 + 24 + 16 + 14;
/** Room for four real numbers, five counts and their names, or for an error's text. */
const LONGEST_REST = 512;
const ROOM_FOR_STATISTICS = MOST_BUCKETS * LONGEST_BUCKET + LONGEST_REST;

export interface JsonSources {
  readonly tensor: Tensor;
  /** The content of the tensor's own file. */
  readonly content: FixedContent;
  /** The dotted names of the tensor: its first name, the next names, and the number of names. */
  readonly names: {
    readonly firstName: string | undefined;
    readonly otherNames: readonly string[] | undefined;
    readonly namesTotal: number;
  };
  readonly statistics: StatisticsCache;
}

export class JsonContent implements RenderedContent {
  readonly kind = 'rendered';
  readonly origin?: ImageRange;
  readonly #sources: JsonSources;
  #description: string | undefined;

  constructor(sources: JsonSources) {
    this.#sources = sources;
    const origin = originOf(sources.content);
    if (origin !== undefined) this.origin = origin;
  }

  get size(): number {
    return sizeOf(this.#described, this.#sources.tensor);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const document = `${this.#described},\n  "statistics": ${await this.#statistics()}\n}`;
    const bytes = Buffer.alloc(this.size, ' ');
    bytes.write(document);
    bytes.write('\n', bytes.length - 1);
    return bytes.subarray(offset, offset + length);
  }

  async #statistics(): Promise<string> {
    const { tensor, content, statistics } = this.#sources;
    if (!hasStatistics(tensor.dtype)) return 'null';
    try {
      return statisticsJson(await statistics.of(tensor, content));
    } catch (cause) {
      if (!(cause instanceof MlfsError)) throw cause;
      return visibleJson({ error: bounded(cause.message, LONGEST_REST / 4) });
    }
  }

  /** Everything except the statistics and the closing brace. */
  get #described(): string {
    this.#description ??= describe(this.#sources);
    return this.#description;
  }
}

/** The size of the document, without making one. */
export function jsonSize(sources: Pick<JsonSources, 'tensor' | 'names'>): number {
  return sizeOf(describe(sources), sources.tensor);
}

function sizeOf(description: string, { dtype }: Tensor): number {
  return Buffer.byteLength(description) + (hasStatistics(dtype) ? ROOM_FOR_STATISTICS : 64);
}

function describe({ tensor, names }: Pick<JsonSources, 'tensor' | 'names'>): string {
  const carrier = npyCarrier(tensor.dtype);
  const fields = {
    name: names.firstName ?? '',
    dtype: tensor.dtype,
    shape: tensor.shape,
    stride: tensor.stride,
    storage: tensor.storage.key,
    storage_offset: tensor.storageOffset,
    file_offset: fileOffset(tensor) ?? null,
    nbytes: nbytes(tensor),
    requires_grad: tensor.requiresGrad,
    ...(tensor.note === undefined ? {} : { note: tensor.note }),
    // numpy has no such dtype: /views/npy shows the bits as unsigned integers.
    ...(carrier === undefined ? {} : { npy_carrier: carrier }),
    aliases: names.otherNames ?? [],
    aliases_total: Math.max(0, names.namesTotal - 1),
  };
  const lines = Object.entries(fields).map(([key, value]) => `  ${visibleJson(key)}: ${visibleJson(value)}`);
  return `{\n${lines.join(',\n')}`;
}

function statisticsJson(found: Statistics): string {
  const { count, min = null, max = null, mean = null, std = null, zeros, nans, infs } = found;
  const numbers = { count, min, max, mean, std, zeros, nan: nans, inf: infs };
  const buckets = joined(found.histogram).map(
    ({ from, to, count: n }) => `      ${visibleJson([from, to, n])}`,
  );
  const histogram = buckets.length === 0 ? '[]' : `[\n${buckets.join(',\n')}\n    ]`;
  const lines = Object.entries(numbers).map(([key, value]) => `    ${visibleJson(key)}: ${exactJson(value)}`);
  return `{\n${lines.join(',\n')},\n    "histogram": ${histogram}\n  }`;
}

/** Fewer and wider buckets: neighbours of the same sign are joined in pairs. */
function joined(histogram: readonly HistogramBucket[]): readonly HistogramBucket[] {
  let buckets = histogram;
  while (buckets.length > MOST_BUCKETS) {
    const wider: HistogramBucket[] = [];
    for (let at = 0; at < buckets.length; at++) {
      const one = buckets[at] as HistogramBucket;
      const next = buckets[at + 1];
      if (next !== undefined && sign(next) === sign(one)) {
        wider.push({ from: one.from, to: next.to, count: one.count + next.count });
        at++;
      } else {
        wider.push(one);
      }
    }
    buckets = wider;
  }
  return buckets;
}

function sign({ from, to }: HistogramBucket): number {
  return Math.sign(from + to);
}

/** The part of the image that the statistics are computed from. */
function originOf(content: FixedContent): ImageRange | undefined {
  if (content.kind === 'rendered') return content.origin;
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  let image: ImageRange['image'] | undefined;
  for (const extent of content.extents) {
    if (extent.kind !== 'image') continue;
    image = extent.image;
    start = Math.min(start, extent.offset);
    end = Math.max(end, extent.offset + extentLength(extent));
  }
  return image === undefined ? undefined : { image, offset: start, length: end - start };
}
