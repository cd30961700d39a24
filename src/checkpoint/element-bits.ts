import { DTYPE_ROWS, DTYPES, type DType, partBytes, partsOf } from './dtypes.ts';
import type { Tensor } from './tensor.ts';

/**
 * The change that turns a tensor's stored elements into its logical value in little-endian bytes: it reverses the byte order of the machine that
 * saved it, and applies torch's lazy conjugation and negation.
 */
export interface ElementChange {
  /** Number of bytes to reverse together; 1 for none. */
  readonly swap: 1 | 2 | 4 | 8;
  readonly dtype: DType;
  readonly conj: boolean;
  readonly neg: boolean;
}

/**
 * How an element, or each part of a complex one, is negated: floats by their sign bit, integers by two's complement. Undefined where elements share a
 * byte, where the code of negative zero is NaN, and where there is no sign.
 */
function negationOf(dtype: DType): 'sign' | 'complement' | undefined {
  const { kind, format } = DTYPE_ROWS[dtype];
  if (format?.kind === 'float')
    return format.special === 'ieee' || format.special === 'last' ? 'sign' : undefined;
  return kind === 'int' || kind === 'uint' ? 'complement' : undefined;
}

/** Undefined when the stored bytes are already the tensor's bytes; a reason when no change can make them so. */
export function elementChange(tensor: Tensor): ElementChange | undefined | { readonly reason: string } {
  const { dtype } = tensor;
  const swap = tensor.storage.byteorder === 'big' ? partBytes(dtype) : 1;
  // Conjugation does nothing to real numbers.
  const conj = tensor.conj === true && partsOf(dtype) === 2;
  const neg = tensor.neg === true;
  if (neg && negationOf(dtype) === undefined) {
    return { reason: `the negation of ${dtype} is not defined` };
  }
  return swap === 1 && !conj && !neg ? undefined : { swap, dtype, conj, neg };
}

/** Turns stored elements into logical ones in place. `bytes` must be whole elements. */
export function changeElements(bytes: Uint8Array, change: ElementChange): void {
  swapBytes(bytes, change);
  changeSigns(bytes, change);
}

/** Turns logical elements back into stored ones in place. Each step is its own inverse, so the steps run in reverse order. */
export function restoreElements(bytes: Uint8Array, change: ElementChange): void {
  changeSigns(bytes, change);
  swapBytes(bytes, change);
}

function swapBytes(bytes: Uint8Array, { swap }: ElementChange): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (swap === 2) buffer.swap16();
  else if (swap === 4) buffer.swap32();
  else if (swap === 8) buffer.swap64();
}

/** Changes the signs of little-endian elements. */
function changeSigns(bytes: Uint8Array, change: ElementChange): void {
  const { dtype, conj, neg } = change;
  const itemsize = DTYPES[dtype];
  if (partsOf(dtype) === 2) {
    if (neg) flipSigns(bytes, itemsize, partBytes(dtype) - 1);
    if (neg !== conj) flipSigns(bytes, itemsize, itemsize - 1);
  } else if (neg) {
    if (negationOf(dtype) === 'sign') flipSigns(bytes, itemsize, itemsize - 1);
    else negateIntegers(bytes, itemsize);
  }
}

function flipSigns(bytes: Uint8Array, step: number, first: number): void {
  for (let at = first; at < bytes.length; at += step) bytes[at] = (bytes[at] as number) ^ 0x80;
}

/** Two's complement in any width: invert, add one, carry on. */
function negateIntegers(bytes: Uint8Array, itemsize: number): void {
  for (let element = 0; element < bytes.length; element += itemsize) {
    let carry = 1;
    for (let at = element; at < element + itemsize; at++) {
      const sum = (~(bytes[at] as number) & 0xff) + carry;
      bytes[at] = sum;
      carry = sum >> 8;
    }
  }
}
