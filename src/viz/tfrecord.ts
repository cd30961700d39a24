/**
 * TFRecord framing, as TensorFlow's record_writer.h has it:
 *
 *   u64 length | u32 masked CRC-32C of the length | length bytes | u32 masked CRC-32C of the bytes
 */
import { crc32c } from '../storage/crc32c.ts';

const LENGTH_BYTES = 8;
const CRC_BYTES = 4;
export const RECORD_HEADER_BYTES = LENGTH_BYTES + CRC_BYTES;

/** Size of a record with its frame, for `length` bytes of data. */
export function recordSize(length: number): number {
  return RECORD_HEADER_BYTES + length + CRC_BYTES;
}

/** A record with `length` bytes of data, which `write` writes at the offset it is given. */
export function record(length: number, write: (bytes: Buffer, at: number) => void): Buffer {
  const bytes = Buffer.alloc(recordSize(length));
  bytes.writeBigUInt64LE(BigInt(length));
  bytes.writeUInt32LE(masked(crc32c(bytes.subarray(0, LENGTH_BYTES))), LENGTH_BYTES);
  write(bytes, RECORD_HEADER_BYTES);
  const end = RECORD_HEADER_BYTES + length;
  bytes.writeUInt32LE(masked(crc32c(bytes.subarray(RECORD_HEADER_BYTES, end))), end);
  return bytes;
}

const MASK_DELTA = 0xa282ead8;

/** The CRC of data that contains CRCs is weak, so TFRecord stores it masked: rotated by 15 bits, plus a constant. */
export function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}
