import { errno } from '../../errors.ts';

/**
 * 64-bit fields as numbers. The wire is in the machine's byte order, and every machine Node runs Linux on is
 * little-endian. Numbers are split and joined by arithmetic: JavaScript's bit operators keep 32 bits only.
 */
const WORD = 2 ** 32;
/** The high word of Number.MAX_SAFE_INTEGER. */
const SAFE_HIGH_WORD = 2 ** 21 - 1;

/** Reads an unsigned field that must be a safe integer. Throws EINVAL naming the field. */
export function readU64(message: Buffer, offset: number, field: string): number {
  const high = message.readUInt32LE(offset + 4);
  if (high > SAFE_HIGH_WORD) {
    throw errno('EINVAL', `${field} at byte ${offset} is ${message.readBigUInt64LE(offset)}, over 2^53`);
  }
  return high * WORD + message.readUInt32LE(offset);
}

/** Reads a file position. No file is larger than 2^53, so anything beyond is past the end. */
export function readPosition(message: Buffer, offset: number): number {
  const high = message.readUInt32LE(offset + 4);
  return high > SAFE_HIGH_WORD ? Number.MAX_SAFE_INTEGER : high * WORD + message.readUInt32LE(offset);
}

/** Writes a safe integer, negative ones as two's complement. */
export function writeU64(message: Buffer, value: number, offset: number): void {
  const high = Math.floor(value / WORD);
  message.writeUInt32LE(value - high * WORD, offset);
  message.writeInt32LE(high, offset + 4);
}

const NANOSECONDS = 1_000_000_000n;

/** The same for a time in nanoseconds. */
export function writeExactTime(message: Buffer, ns: bigint, secondsAt: number, nanosecondsAt: number): void {
  // BigInt division rounds towards zero, but a time before 1970 also has nanoseconds above its second.
  const within = ((ns % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  message.writeBigInt64LE((ns - within) / NANOSECONDS, secondsAt);
  message.writeUInt32LE(Number(within), nanosecondsAt);
}

/** Reads an i64 of seconds and a u32 of nanoseconds as nanoseconds. */
export function readExactTime(message: Buffer, secondsAt: number, nanosecondsAt: number): bigint {
  return message.readBigInt64LE(secondsAt) * NANOSECONDS + BigInt(message.readUInt32LE(nanosecondsAt));
}

/** Writes a time in milliseconds as seconds and nanoseconds in two places, as fuse_attr has them. */
export function writeTime(message: Buffer, ms: number, secondsAt: number, nanosecondsAt: number): void {
  const seconds = Math.floor(ms / 1000);
  writeU64(message, seconds, secondsAt);
  message.writeUInt32LE(Math.floor((ms - seconds * 1000) * 1e6), nanosecondsAt);
}
