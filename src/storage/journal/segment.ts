/**
 * A segment: one file of the journal, `000001.log`. Its header has 24 bytes, little-endian:
 *
 *      0  4 bytes  "MLFL"
 *      4  u16      version, 1
 *      6  u16      replaced: number of segments right before this one that are superseded
 *      8  u32      number of the segment, as in its name
 *     12  u64      sequence number of its first record
 *     20  u32      CRC-32C of the bytes before
 *
 * Records of earlier segments from that sequence number on are superseded: they were rewritten here.
 */
import { join } from 'node:path';
import { crc32c } from '../crc32c.ts';
import type { MediumFile } from '../medium.ts';

export const SEGMENT_HEADER_BYTES = 24;
const MAGIC = Buffer.from('MLFL');
const MAX_U16 = 0xffff;
export const FORMAT_VERSION = 1;

/** Numbers have six digits, more when there are more. */
export function segmentPath(directory: string, number: number): string {
  return join(directory, `${String(number).padStart(6, '0')}.log`);
}

/** Undefined when the name is not a segment's. */
export function segmentNumber(name: string): number | undefined {
  const digits = /^(\d{6,9})\.log$/.exec(name)?.[1];
  return digits === undefined || Number(digits) === 0 ? undefined : Number(digits);
}

/** Throws a RangeError when the field cannot hold the number of replaced segments. */
export function encodeSegmentHeader(number: number, firstSequence: number, replaced = 0): Buffer {
  if (replaced > MAX_U16) throw new RangeError(`${replaced} segments cannot be replaced by one`);
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt16LE(FORMAT_VERSION, 4);
  bytes.writeUInt16LE(replaced, 6);
  bytes.writeUInt32LE(number, 8);
  bytes.writeBigUInt64LE(BigInt(firstSequence), 12);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 20)), 20);
  return bytes;
}

/**
 * Whether a file with a segment's name can be one of ours, whole, torn or just begun: it begins like a segment, or with zeros, which a
 * power loss leaves. A database in the same folder may use the same names for its logs.
 */
export async function mayBeSegment(file: MediumFile): Promise<boolean> {
  const size = await file.size();
  const begin = await file.read(0, Math.min(size, MAGIC.length));
  return begin.equals(MAGIC.subarray(0, begin.byteLength)) || begin.every((byte) => byte === 0);
}

export interface SegmentHeader {
  readonly version: number;
  readonly firstSequence: number;
  readonly replaced: number;
}

/** The header of segment `number`, or why there is none. For another version, only the version is valid. */
export function decodeSegmentHeader(bytes: Buffer, number: number): SegmentHeader | string {
  if (bytes.byteLength < SEGMENT_HEADER_BYTES) return `it has ${bytes.byteLength} bytes`;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return 'it does not begin as a segment does';
  if (bytes.readUInt32LE(20) !== crc32c(bytes.subarray(0, 20))) return "its header's checksum is wrong";
  const version = bytes.readUInt16LE(4);
  const replaced = bytes.readUInt16LE(6);
  const firstSequence = Number(bytes.readBigUInt64LE(12));
  if (version !== FORMAT_VERSION) return { version, firstSequence, replaced };
  const named = bytes.readUInt32LE(8);
  if (named !== number) return `its header says that it is segment ${named}`;
  if (!Number.isSafeInteger(firstSequence)) return 'its first sequence number is too large';
  return { version, firstSequence, replaced };
}

/** A segment of an open journal. */
export interface Segment {
  readonly number: number;
  readonly path: string;
  readonly file: MediumFile;
  readonly firstSequence: number;
  /** Size of the whole records, header included; 0 until the header is written. */
  size: number;
  /** Size of the part that is known to be durable. */
  durableSize: number;
  closed: boolean;
}
