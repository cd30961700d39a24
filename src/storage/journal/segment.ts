/**
 * A segment: one file of the journal, `000001.log`. Its header has 24 bytes, little-endian:
 *
 *    0  8 bytes  "MLFSLOG" and the version, 1
 *    8  u32      number of the segment, as in its name
 *   12  u64      sequence number of its first record
 *   20  u32      CRC-32C of the bytes before
 *
 * What earlier segments hold from that sequence number on is void: it was written anew here.
 */
import { join } from 'node:path';
import { crc32c } from '../crc32c.ts';
import type { MediumFile } from '../medium.ts';

export const SEGMENT_HEADER_BYTES = 24;
const MAGIC = Buffer.from('MLFSLOG');
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

export function encodeSegmentHeader(number: number, firstSequence: number): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt8(FORMAT_VERSION, 7);
  bytes.writeUInt32LE(number, 8);
  bytes.writeBigUInt64LE(BigInt(firstSequence), 12);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 20)), 20);
  return bytes;
}

export interface SegmentHeader {
  readonly version: number;
  readonly firstSequence: number;
}

/** The header of segment `number`, or why there is none. Of another version only the version is right. */
export function decodeSegmentHeader(bytes: Buffer, number: number): SegmentHeader | string {
  if (bytes.byteLength < SEGMENT_HEADER_BYTES) return `it has ${bytes.byteLength} bytes`;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return 'it does not begin as a segment does';
  if (bytes.readUInt32LE(20) !== crc32c(bytes.subarray(0, 20))) return "its header's checksum is wrong";
  const version = bytes.readUInt8(7);
  const firstSequence = Number(bytes.readBigUInt64LE(12));
  if (version !== FORMAT_VERSION) return { version, firstSequence };
  const named = bytes.readUInt32LE(8);
  if (named !== number) return `its header says that it is segment ${named}`;
  if (!Number.isSafeInteger(firstSequence)) return 'its first sequence number is too large';
  return { version, firstSequence };
}

/** A segment of an open journal. */
export interface Segment {
  readonly number: number;
  readonly path: string;
  readonly file: MediumFile;
  readonly firstSequence: number;
  /** Of the whole records, header included; 0 until the header is written. */
  size: number;
  /** What of it is known to be durable. */
  durableSize: number;
  /** All of its records stand in a later segment. */
  replaced: boolean;
  closed: boolean;
}
