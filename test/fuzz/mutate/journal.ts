/** Mutations of a state directory: segments taken apart into records and put together with right checksums, base.json, names of files. */
import { crc32c } from '../../../src/storage/crc32c.ts';
import type { Random } from '../random.ts';
import { edge, mutateBytes, mutateText } from './bytes.ts';
import { mutateJson } from './json.ts';

/** Paths inside the directory, and contents. */
export type StateFiles = ReadonlyMap<string, Buffer>;

/** docs/FORMATS.md: headers of segments and records. */
const SEGMENT_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 40;
const COMMIT_MARK = 3;

export function mutateState(random: Random, files: StateFiles): StateFiles {
  const changed = new Map(files);
  for (let left = random.pick([1, 1, 1, 2, 3]); left > 0; left--) {
    const segments = [...changed.keys()].filter((path) => path.endsWith('.log'));
    const others = [...changed.keys()].filter((path) => !path.endsWith('.log'));
    const inSegment = segments.length > 0 && !random.once(4);
    const path = inSegment ? random.pick(segments) : random.pick(others.length > 0 ? others : segments);
    const bytes = changed.get(path) ?? Buffer.alloc(0);
    if (random.once(10)) moveFile(random, changed, path, bytes);
    else if (inSegment) changed.set(path, mutateSegment(random, bytes));
    else changed.set(path, path.endsWith('.json') ? mutateJson(random, bytes) : mutateBytes(random, bytes));
  }
  return changed;
}

function moveFile(random: Random, files: Map<string, Buffer>, path: string, bytes: Buffer): void {
  if (!random.once(3)) files.delete(path);
  const other = random.pick([
    'journal/000001.log',
    'journal/000002.log',
    'journal/000003.log',
    'journal/999999.log',
    'journal/000002.log.new',
    'journal/x',
    'base.json',
    'base.json.new',
    'grads/w',
    'grads/%',
    'lock',
  ]);
  files.set(other, bytes);
}

export function mutateSegment(random: Random, segment: Buffer): Buffer {
  if (random.once(8)) return mutateBytes(random, segment);
  let header = Buffer.from(segment.subarray(0, SEGMENT_HEADER_BYTES));
  let records = recordsOf(segment);
  for (let left = random.pick([1, 1, 2, 3]); left > 0; left--) {
    if (records.length === 0 || random.once(8)) header = otherSegmentHeader(random, header);
    else records = otherRecords(random, records);
  }
  const result = Buffer.concat([header, ...records]);
  return random.once(6) ? result.subarray(0, random.below(result.length + 1)) : result;
}

function recordsOf(segment: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = SEGMENT_HEADER_BYTES; at + RECORD_HEADER_BYTES <= segment.length; ) {
    const end = at + RECORD_HEADER_BYTES + segment.readUInt32LE(at + 8);
    records.push(Buffer.from(segment.subarray(at, end)));
    at = end;
  }
  return records;
}

type Field = readonly [offset: number, width: number];

/** Version, replaced, number, first sequence. */
const SEGMENT_FIELDS: readonly Field[] = [
  [4, 2],
  [6, 2],
  [8, 4],
  [12, 8],
];

function otherSegmentHeader(random: Random, header: Buffer): Buffer<ArrayBuffer> {
  const changed = Buffer.from(header);
  if (changed.length < SEGMENT_HEADER_BYTES) return changed;
  putNumber(random, changed, random.pick(SEGMENT_FIELDS));
  if (!random.once(5)) changed.writeUInt32LE(crc32c(changed.subarray(0, 20)), 20);
  return changed;
}

/** Length, kind, flags, target, sequence, offset, batch, how many were not durable. */
const RECORD_FIELDS: readonly Field[] = [
  [8, 4],
  [12, 1],
  [13, 1],
  [14, 2],
  [16, 8],
  [24, 8],
  [24, 8],
  [32, 4],
  [36, 4],
];

function otherRecords(random: Random, records: Buffer[]): Buffer[] {
  const at = random.below(records.length);
  const record = records[at] as Buffer;
  const marks = records.filter((one) => one[12] === COMMIT_MARK);
  if (marks.length > 0 && random.once(2)) {
    const mark = random.pick(marks);
    return records.map((one) =>
      one === mark ? withPayload(mark, mutateJson(random, payloadOf(mark))) : one,
    );
  }
  switch (random.below(8)) {
    case 0:
      return records.toSpliced(at, 1);
    case 1:
      return records.toSpliced(random.below(records.length), 0, record);
    case 2:
      return random.shuffled(records);
    case 3:
      return records.with(at, withPayload(record, mutateBytes(random, payloadOf(record))));
    case 4: {
      const note = random.pick([
        '{}',
        '[]',
        'null',
        '1',
        '"x"',
        '',
        '{"version":1}',
        mutateText(random, '{}'),
      ]);
      const mark = withPayload(record, Buffer.from(note));
      mark[12] = COMMIT_MARK;
      return records.toSpliced(at, 0, resummed(mark));
    }
    default: {
      const changed = Buffer.from(record);
      putNumber(random, changed, random.pick(RECORD_FIELDS));
      return records.with(at, random.once(6) ? changed : resummed(changed));
    }
  }
}

function payloadOf(record: Buffer): Buffer {
  return record.subarray(RECORD_HEADER_BYTES);
}

function withPayload(record: Buffer, payload: Buffer): Buffer<ArrayBuffer> {
  const header = Buffer.from(record.subarray(0, RECORD_HEADER_BYTES));
  header.writeUInt32LE(payload.length, 8);
  return resummed(Buffer.concat([header, payload]));
}

function resummed(record: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
  record.writeUInt32LE(crc32c(record.subarray(8)), 4);
  return record;
}

/** A number near the present one, small, or at an edge. */
function putNumber(random: Random, bytes: Buffer, [offset, width]: Field): void {
  const field = Buffer.alloc(8);
  bytes.copy(field, 0, offset, offset + width);
  const present = field.readBigUInt64LE();
  const value = random.pick([
    present + 1n,
    present - 1n,
    0n,
    1n,
    BigInt(random.below(1 << 16)),
    edge(random),
  ]);
  field.writeBigUInt64LE(BigInt.asUintN(64, value));
  field.copy(bytes, offset, 0, width);
}
