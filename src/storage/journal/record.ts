/**
 * A record of the journal: a header of 40 bytes and its payload. Little-endian; docs/FORMATS.md has a diagram.
 *
 *      0  u32  marker "MLFR"
 *      4  u32  CRC-32C of everything behind this field, payload included
 *      8  u32  size of the payload in bytes
 *     12  u8   kind
 *     13  u8   flags, 0
 *     14  u16  target of the offset: 0, the image
 *     16  u64  sequence number
 *     24  u64  offset in the target
 *     32  u32  batch: number of records since it began, this one included; 0: none
 *     36  u32  number of records right before this one that were not known to be durable when it was written
 *
 * The last field tells a torn tail from damage: a record that was known to be durable must be whole.
 */
import { crc32c } from '../crc32c.ts';

export const RECORD_HEADER_BYTES = 40;
export const MARKER = Buffer.from('MLFR');
const MARKER_VALUE = MARKER.readUInt32LE();
/** Offset of the checked bytes. */
export const CHECKED_FROM = 8;

export const KIND = { write: 1, batchEnd: 2, commit: 3, discard: 4 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

const MAX_U32 = 0xffffffff;
export const MAX_PAYLOAD_BYTES = MAX_U32;

export interface RecordHeader {
  readonly kind: Kind;
  readonly sequence: number;
  readonly offset: number;
  readonly length: number;
  /** Sequence number of the batch's first record; 0 for none. */
  readonly batch: number;
  /** Every record up to this one was durable when this one was written; 0: none, or unknown. */
  readonly durable: number;
}

export interface DecodedHeader extends RecordHeader {
  readonly crc: number;
}

/** Header and payload as they are written. */
export function encodeRecord(header: RecordHeader, payload: Uint8Array): [Buffer, Uint8Array] {
  const bytes = Buffer.alloc(RECORD_HEADER_BYTES);
  MARKER.copy(bytes);
  bytes.writeUInt32LE(header.length, 8);
  bytes.writeUInt8(header.kind, 12);
  bytes.writeBigUInt64LE(BigInt(header.sequence), 16);
  bytes.writeBigUInt64LE(BigInt(header.offset), 24);
  bytes.writeUInt32LE(header.batch === 0 ? 0 : Math.min(header.sequence - header.batch + 1, MAX_U32), 32);
  bytes.writeUInt32LE(Math.min(header.sequence - 1 - header.durable, MAX_U32), 36);
  bytes.writeUInt32LE(crc32c(payload, crc32c(bytes.subarray(CHECKED_FROM))), 4);
  return [bytes, payload];
}

/** The header at `at` of `bytes`, or why there is none. The CRC is not checked. */
export function decodeHeader(bytes: Buffer, at: number): DecodedHeader | string {
  if (bytes.readUInt32LE(at) !== MARKER_VALUE) return 'no record begins there';
  const kind = bytes.readUInt8(at + 12);
  if (!isKind(kind)) return `its kind is ${kind}`;
  const flags = bytes.readUInt8(at + 13);
  const target = bytes.readUInt16LE(at + 14);
  if (flags !== 0 || target !== 0) return `its flags are ${flags} and its target ${target}`;
  const sequence = readU64(bytes, at + 16);
  const offset = readU64(bytes, at + 24);
  if (!Number.isSafeInteger(sequence) || !Number.isSafeInteger(offset)) return 'its numbers are too large';
  const batchLength = bytes.readUInt32LE(at + 32);
  const unsynced = bytes.readUInt32LE(at + 36);
  return {
    kind,
    sequence,
    offset,
    length: bytes.readUInt32LE(at + 8),
    batch: batchLength === 0 ? 0 : sequence - batchLength + 1,
    durable: unsynced === MAX_U32 ? 0 : Math.max(0, sequence - 1 - unsynced),
    crc: bytes.readUInt32LE(at + 4),
  };
}

/** Exact when the number is a safe integer. Otherwise the result is not a safe integer either. */
function readU64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
}

function isKind(value: number): value is Kind {
  return value >= KIND.write && value <= KIND.discard;
}
