import { DTYPES, type DType, type Tensor } from './tensor.ts';

/**
 * What a tensor's stored elements still need to become its logical value in little-endian bytes: the byte order of the machine
 * that saved it, torch's lazy conjugation and negation.
 */
export interface ElementChange {
  /** Bytes of a component to be reversed; 1 for none. */
  readonly swap: 1 | 2 | 4 | 8;
  readonly dtype: DType;
  readonly conj: boolean;
  readonly neg: boolean;
}

const COMPLEX: Partial<Record<DType, 2 | 4 | 8>> = { complex32: 2, complex64: 4, complex128: 8 };
/** Sign and magnitude: negation flips the highest bit. */
const SIGNED_MAGNITUDE: ReadonlySet<DType> = new Set([
  'float16',
  'bfloat16',
  'float32',
  'float64',
  'float8_e4m3fn',
  'float8_e5m2',
]);
const INTEGERS: ReadonlySet<DType> = new Set([
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
]);

/** undefined when the stored bytes are the tensor's bytes; a reason when they cannot be made so. */
export function elementChange(tensor: Tensor): ElementChange | undefined | { readonly reason: string } {
  const { dtype } = tensor;
  const component = COMPLEX[dtype];
  const width = component ?? DTYPES[dtype];
  const swap = tensor.storage.byteorder === 'big' ? (width as ElementChange['swap']) : 1;
  // Conjugation does nothing to real numbers.
  const conj = tensor.conj === true && component !== undefined;
  const neg = tensor.neg === true;
  if (neg && component === undefined && !SIGNED_MAGNITUDE.has(dtype) && !INTEGERS.has(dtype)) {
    return { reason: `the negation of ${dtype} is not defined` };
  }
  return swap === 1 && !conj && !neg ? undefined : { swap, dtype, conj, neg };
}

/** Makes stored elements logical ones, in place. Whole elements only. */
export function changeElements(bytes: Uint8Array, change: ElementChange): void {
  swapBytes(bytes, change);
  changeSigns(bytes, change);
}

/** Makes logical elements stored ones again, in place. Either step undoes itself, the two in the other order. */
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

/** Of little-endian elements. */
function changeSigns(bytes: Uint8Array, change: ElementChange): void {
  const itemsize = DTYPES[change.dtype];
  const component = COMPLEX[change.dtype];
  if (component !== undefined) {
    if (change.neg) flipSigns(bytes, itemsize, component - 1);
    if (change.neg !== change.conj) flipSigns(bytes, itemsize, itemsize - 1);
  } else if (change.neg) {
    if (SIGNED_MAGNITUDE.has(change.dtype)) flipSigns(bytes, itemsize, itemsize - 1);
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
