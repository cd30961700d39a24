/**
 * One event per tensor: its histogram, and mean, std, norm and the count of NaN and infinite elements as scalars. Messages and field numbers
 * are those of TensorBoard's event.proto, summary.proto and histogram.proto. The size of an event depends only on its tag, not on the elements.
 *
 *   Event            1 wall_time double   2 step int64   3 file_version string   5 summary Summary
 *   Summary          1 value repeated Value
 *   Value            1 tag string   2 simple_value float   5 histo HistogramProto
 *   HistogramProto   1 min   2 max   3 num   4 sum   5 sum_squares   6 bucket_limit   7 bucket   (double; the last two packed)
 */
import type { Statistics } from '../numbers/statistics.ts';
import { BUCKETS, bucketsOf } from './buckets.ts';
import { delimitedSize, FieldWriter, varintSize } from './protobuf.ts';

/** The time at which the checkpoint was written, and its training step. */
export interface EventTime {
  /** Seconds since 1970. */
  readonly wallTime: number;
  /** A non-negative safe integer. */
  readonly step: number;
}

const DOUBLE_FIELD = 1 + 8;
const FLOAT_FIELD = 1 + 4;
const HISTOGRAM_BYTES = 5 * DOUBLE_FIELD + 2 * delimitedSize(BUCKETS * 8);

/** Scalars are tagged `KIND/NAME`; TensorBoard groups tags by the part before the slash. */
const SCALARS: readonly [kind: string, of: (statistics: Statistics) => number][] = [
  ['mean', ({ mean }) => mean ?? Number.NaN],
  ['std', ({ std }) => std ?? Number.NaN],
  ['norm', ({ norm }) => norm],
  ['not_finite', ({ nans, infs }) => nans + infs],
];

export class TensorEvent {
  /** Size of the event in bytes. */
  readonly size: number;
  readonly #time: EventTime;
  readonly #tag: Buffer;
  readonly #summarySize: number;

  constructor(tag: string, time: EventTime) {
    this.#time = time;
    this.#tag = Buffer.from(tag);
    this.#summarySize = delimitedSize(this.#histogramValueSize());
    for (const [kind] of SCALARS) this.#summarySize += delimitedSize(this.#scalarValueSize(kind));
    this.size = timeSize(time) + delimitedSize(this.#summarySize);
  }

  /** Writes the event at offset `at`. */
  write(bytes: Buffer, at: number, statistics: Statistics): void {
    const fields = new FieldWriter(bytes, at);
    writeTime(fields, this.#time);
    fields.delimited(5, this.#summarySize);
    fields.delimited(1, this.#histogramValueSize());
    fields.bytes(1, this.#tag);
    fields.delimited(5, HISTOGRAM_BYTES);
    writeHistogram(fields, statistics);
    for (const [kind, of] of SCALARS) {
      fields.delimited(1, this.#scalarValueSize(kind));
      fields.bytes(1, Buffer.concat([Buffer.from(`${kind}/`), this.#tag]));
      fields.float(2, of(statistics));
    }
  }

  #histogramValueSize(): number {
    return delimitedSize(this.#tag.byteLength) + delimitedSize(HISTOGRAM_BYTES);
  }

  #scalarValueSize(kind: string): number {
    return delimitedSize(kind.length + 1 + this.#tag.byteLength) + FLOAT_FIELD;
  }
}

function writeHistogram(fields: FieldWriter, statistics: Statistics): void {
  const { limits, counts } = bucketsOf(statistics);
  fields.double(1, Number(statistics.min ?? 0));
  fields.double(2, Number(statistics.max ?? 0));
  fields.double(
    3,
    counts.reduce((sum, count) => sum + count, 0),
  );
  fields.double(4, statistics.sum);
  fields.double(5, statistics.sumOfSquares);
  fields.doubles(6, limits);
  fields.doubles(7, counts);
}

/** The version string in the first event of a file. */
const FILE_VERSION = Buffer.from('brain.Event:2');

export function versionEventSize({ wallTime }: EventTime): number {
  return timeSize({ wallTime, step: 0 }) + delimitedSize(FILE_VERSION.byteLength);
}

export function writeVersionEvent(bytes: Buffer, at: number, { wallTime }: EventTime): void {
  const fields = new FieldWriter(bytes, at);
  writeTime(fields, { wallTime, step: 0 });
  fields.bytes(3, FILE_VERSION);
}

function timeSize({ step }: EventTime): number {
  return DOUBLE_FIELD + 1 + varintSize(step);
}

function writeTime(fields: FieldWriter, { wallTime, step }: EventTime): void {
  fields.double(1, wallTime);
  fields.varint(2, step);
}
