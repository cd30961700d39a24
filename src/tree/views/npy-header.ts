/**
 * Headers of numpy's .npy files (numpy/lib/format.py, NEP 1): the magic string, a version, a length and a Python dict literal, padded with spaces so that
 * the data begins at a multiple of 64.
 *
 *   0   6  \x93NUMPY
 *   6   2  version: 1.0, or 2.0 when the dict is longer than 65,535 bytes
 *   8   2  length of the dict, uint16 little-endian (2.0: 4 bytes, uint32)
 *  10      {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, spaces, a newline
 */
import { DTYPES, type DType, nbytes, PACKED_ELEMENTS, type Tensor } from '../../checkpoint/tensor.ts';
import { errno } from '../../errors.ts';

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');
const ALIGNMENT = 64;
/** Far more than 32 dimensions need. */
export const MAX_NPY_HEADER_BYTES = 64 * 1024;

const DESCRIPTIONS: Readonly<Partial<Record<DType, string>>> = {
  float64: '<f8',
  float32: '<f4',
  float16: '<f2',
  int64: '<i8',
  int32: '<i4',
  int16: '<i2',
  int8: '|i1',
  uint64: '<u8',
  uint32: '<u4',
  uint16: '<u2',
  uint8: '|u1',
  bool: '|b1',
  complex64: '<c8',
  complex128: '<c16',
  qint8: '|i1',
  quint8: '|u1',
  qint32: '<i4',
};

export interface NpyArray {
  /** numpy's name of the dtype, byte order included. */
  readonly descr: string;
  readonly shape: readonly number[];
}

/** As what numpy sees a tensor: a dtype that numpy lacks is the unsigned integer of its size, and elements that share a byte are the bytes. */
export function npyArrayOf(tensor: Tensor): NpyArray {
  const { dtype, shape } = tensor;
  const descr = DESCRIPTIONS[dtype] ?? carrierOf(dtype);
  return { descr, shape: PACKED_ELEMENTS[dtype] === undefined ? shape : [nbytes(tensor)] };
}

/** The unsigned integer that stands for a dtype that numpy lacks; undefined for those it has. */
export function npyCarrier(dtype: DType): string | undefined {
  return DESCRIPTIONS[dtype] === undefined ? carrierOf(dtype) : undefined;
}

function carrierOf(dtype: DType): string {
  const size = DTYPES[dtype];
  return size === 1 ? '|u1' : `<u${size}`;
}

export function npyHeader({ descr, shape }: NpyArray): Uint8Array {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const dict = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${sizes}), }`;
  const short = padded(10, dict.length) - 10 <= 0xffff;
  const prefix = short ? 10 : 12;
  const header = Buffer.alloc(padded(prefix, dict.length), ' ');
  MAGIC.copy(header);
  header.writeUInt8(short ? 1 : 2, 6);
  header.writeUInt8(0, 7);
  if (short) header.writeUInt16LE(header.length - prefix, 8);
  else header.writeUInt32LE(header.length - prefix, 8);
  header.write(dict, prefix, 'latin1');
  header.write('\n', header.length - 1, 'latin1');
  return header;
}

/** Prefix, dict and a newline, filled up to where the data begins. */
function padded(prefix: number, dictLength: number): number {
  return Math.ceil((prefix + dictLength + 1) / ALIGNMENT) * ALIGNMENT;
}

export interface ParsedNpy extends NpyArray {
  readonly fortranOrder: boolean;
  /** Where the data begins. */
  readonly dataOffset: number;
}

/** `start` is the beginning of a file, or all of it. Throws EINVAL for what is no .npy file, or holds pickled objects or fields. */
export function parseNpyHeader(start: Uint8Array): ParsedNpy {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  if (bytes.length < 10 || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw errno('EINVAL', 'no .npy file: it does not begin with \\x93NUMPY');
  }
  const version = bytes.readUInt8(6);
  if (version < 1 || version > 3) throw errno('EINVAL', `.npy version ${version} is not known`);
  const prefix = version === 1 ? 10 : 12;
  const length = version === 1 ? bytes.readUInt16LE(8) : bytes.length < 12 ? 0 : bytes.readUInt32LE(8);
  const dataOffset = prefix + length;
  if (dataOffset > MAX_NPY_HEADER_BYTES + 12)
    throw errno('EINVAL', `a .npy header of ${length} bytes is too long`);
  if (bytes.length < dataOffset) throw errno('EINVAL', 'the .npy header is cut off');
  const dict = bytes.toString('latin1', prefix, dataOffset).trim();
  return { ...parseDict(dict), dataOffset };
}

/** The three keys in any order, as numpy's own writer and others put them. */
function parseDict(dict: string): Omit<ParsedNpy, 'dataOffset'> {
  const descr = /["']descr["']\s*:\s*(["'])([^"']*)\1/.exec(dict)?.[2];
  const fortran = /["']fortran_order["']\s*:\s*(True|False)\b/.exec(dict)?.[1];
  const sizes = /["']shape["']\s*:\s*\(([\d\sL,]*)\)/.exec(dict)?.[1];
  if (descr === undefined || fortran === undefined || sizes === undefined || !/^\{.*\}$/s.test(dict)) {
    throw errno('EINVAL', 'the .npy header is not that of a plain array');
  }
  const shape = sizes
    .split(',')
    .map((size) => size.trim().replace(/L$/, ''))
    .filter((size) => size !== '')
    .map(Number);
  if (!shape.every(Number.isSafeInteger)) throw errno('EINVAL', `the .npy shape (${sizes}) is out of range`);
  return { descr, shape, fortranOrder: fortran === 'True' };
}
