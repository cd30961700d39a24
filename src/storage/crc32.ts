/**
 * CRC-32 as zip and gzip use it (reflected polynomial 0xEDB88320, start and final value all ones), and its algebra.
 *
 * Without the two inversions the CRC is linear over GF(2): a message is a polynomial, its CRC the remainder after multiplication
 * by x^32, and appending n bytes multiplies by x^(8n). So the CRC of a concatenation, of n zero bytes, or of a message in which a
 * few bytes changed follows from what is known in O(log n), and nothing else has to be read.
 */
import * as zlib from 'node:zlib';

const POLYNOMIAL = 0xedb88320;
/** x^0 in the reflected representation: the highest bit is the lowest power. */
const ONE = 0x80000000;

const TABLE = makeTable();

/** x^(8·2^k), for every k that a safe integer has. */
const SQUARES = makeSquares();

/** CRC-32 of `bytes`, continuing from the CRC of the bytes before. */
export const crc32: (bytes: Uint8Array, previous?: number) => number =
  typeof zlib.crc32 === 'function' ? (bytes, previous = 0) => zlib.crc32(bytes, previous) : crc32ByTable;

/** The portable way, for Node before 20.15. */
export function crc32ByTable(bytes: Uint8Array, previous = 0): number {
  let crc = ~previous;
  for (let index = 0; index < bytes.length; index++) {
    crc = (crc >>> 8) ^ (TABLE[(crc ^ (bytes[index] as number)) & 0xff] as number);
  }
  return ~crc >>> 0;
}

/** CRC-32 of A followed by B, from crc(A), crc(B) and B's length in bytes. */
export function crc32Combine(crcA: number, crcB: number, lengthB: number): number {
  return (multiply(xPowBytes(lengthB), crcA) ^ crcB) >>> 0;
}

/** CRC-32 of `length` zero bytes. */
export function crc32OfZeros(length: number): number {
  // The start value, all ones, moved past the zeros, and the final inversion.
  return (multiply(xPowBytes(length), 0xffffffff) ^ 0xffffffff) >>> 0;
}

/**
 * The CRC-32 of a message after `before` was replaced by `after` (same length) somewhere in it. `bytesAfter` is the distance
 * from the end of the change to the end of the message.
 */
export function crc32Update(crc: number, before: Uint8Array, after: Uint8Array, bytesAfter: number): number {
  return (crc ^ crc32Shift(crc32(before) ^ crc32(after), bytesAfter)) >>> 0;
}

/**
 * What a difference of two CRCs becomes when `bytesAfter` equal bytes follow on both sides. The difference of two messages of the same
 * length is `crc32(a) ^ crc32(b)`: start and final values cancel out.
 */
export function crc32Shift(difference: number, bytesAfter: number): number {
  return difference === 0 ? 0 : multiply(xPowBytes(bytesAfter), difference);
}

/** x^(8·bytes) modulo the polynomial, by the powers of two in `bytes`. */
function xPowBytes(bytes: number): number {
  let power = ONE;
  // Halving by division: lengths go past 32 bits.
  for (let rest = bytes, bit = 0; rest > 0; rest = Math.floor(rest / 2), bit++) {
    if (rest % 2 === 1) power = multiply(power, SQUARES[bit] as number);
  }
  return power;
}

/** Product of two polynomials modulo the CRC's. */
function multiply(a: number, b: number): number {
  let product = 0;
  let shifted = b;
  for (let mask = ONE; mask !== 0; mask >>>= 1) {
    if ((a & mask) !== 0) product ^= shifted;
    shifted = (shifted & 1) !== 0 ? (shifted >>> 1) ^ POLYNOMIAL : shifted >>> 1;
  }
  return product >>> 0;
}

function makeTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) !== 0 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
    table[byte] = value;
  }
  return table;
}

function makeSquares(): Uint32Array {
  const squares = new Uint32Array(53);
  let square = 0x00800000; // x^8
  for (let k = 0; k < squares.length; k++) {
    squares[k] = square;
    square = multiply(square, square);
  }
  return squares;
}
