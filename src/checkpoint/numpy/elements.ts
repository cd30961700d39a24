import type { NumpyDtype } from './dtype.ts';

/** Only the dtype tells whether a number is a float or an integer; a complex number is its two parts. */
export type Element = number | bigint | boolean | string | readonly [real: number, imaginary: number];

export type ElementReader = (view: DataView, at: number) => Element | undefined;

/** Reads elements of a dtype; undefined for objects, structured types and plain bytes. */
export function elementReader({ code, byteorder, itemsize, tensor }: NumpyDtype): ElementReader | undefined {
  const little = byteorder === 'little';
  const plain = tensor === undefined ? undefined : READERS.get(code);
  if (plain !== undefined) return (view, at) => plain(view, at, little);
  if (code === 'f16') return (view, at) => (little ? extended(view, at) : undefined);
  if (/^U\d*$/.test(code) && itemsize % 4 === 0) return (view, at) => text(view, at, itemsize, little);
  return undefined;
}

type Reader = (view: DataView, at: number, little: boolean) => Element;

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['b1', (view, at) => view.getUint8(at) !== 0],
  ['i1', (view, at) => view.getInt8(at)],
  ['u1', (view, at) => view.getUint8(at)],
  ['i2', (view, at, little) => view.getInt16(at, little)],
  ['u2', (view, at, little) => view.getUint16(at, little)],
  ['i4', (view, at, little) => view.getInt32(at, little)],
  ['u4', (view, at, little) => view.getUint32(at, little)],
  ['i8', (view, at, little) => view.getBigInt64(at, little)],
  ['u8', (view, at, little) => view.getBigUint64(at, little)],
  ['M8', (view, at, little) => view.getBigInt64(at, little)],
  ['m8', (view, at, little) => view.getBigInt64(at, little)],
  ['f2', (view, at, little) => half(view.getUint16(at, little))],
  ['f4', (view, at, little) => view.getFloat32(at, little)],
  ['f8', (view, at, little) => view.getFloat64(at, little)],
  ['c8', (view, at, little) => [view.getFloat32(at, little), view.getFloat32(at + 4, little)]],
  ['c16', (view, at, little) => [view.getFloat64(at, little), view.getFloat64(at + 8, little)]],
]);

function half(bits: number): number {
  const sign = bits >>> 15 === 0 ? 1 : -1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

const BIAS = 16383;

/** No double has an exponent further from 0 than this. */
const DOUBLE_EXPONENTS = 1100;

/**
 * Reads 80-bit x87 numbers stored in 16 bytes as the nearest double; the padding bytes are ignored. Undefined for bytes that no x87 writes,
 * and for those that may be the 128-bit type that other machines also call `f16`.
 */
function extended(view: DataView, at: number): number | undefined {
  const mantissa = view.getBigUint64(at, true);
  const top = view.getBigUint64(at + 8, true);
  if (Math.abs(Number((top >> 48n) & 0x7fffn) - BIAS) <= DOUBLE_EXPONENTS) return undefined;
  const exponent = Number(top & 0x7fffn);
  const sign = (top & 0x8000n) === 0n ? 1 : -1;
  const hasLeadingOne = mantissa >= 1n << 63n;
  if (exponent === 0x7fff) return mantissa === 1n << 63n ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return mantissa === 0n ? sign * 0 : undefined;
  if (!hasLeadingOne) return undefined;
  const power = exponent - BIAS - 63;
  // Below double's normal numbers it would be rounded twice.
  if (power < -1022) return undefined;
  return sign * Number(mantissa) * 2 ** power;
}

const MAX_CHARACTERS = 64 * 1024;

/** UTF-32 without the zeros of the padding; undefined when it is invalid, or longer than a document shows. */
function text(view: DataView, at: number, itemsize: number, little: boolean): string | undefined {
  if (itemsize > MAX_CHARACTERS * 4) return undefined;
  const characters: string[] = [];
  for (let offset = 0; offset < itemsize; offset += 4) {
    const code = view.getUint32(at + offset, little);
    if (code > 0x10ffff) return undefined;
    characters.push(String.fromCodePoint(code));
  }
  return characters.join('').replace(/\0+$/, '');
}
