/**
 * The header of a numpy file, as far as its elements can be shown: numpy/lib/format.py. Nothing is evaluated: the header is a literal of
 * three fields, and what is not exactly that is refused, pickled object arrays by name.
 */
import { DTYPES, type DType } from '../checkpoint/tensor.ts';

export interface NpyHeader {
  readonly dtype: DType;
  readonly bigEndian: boolean;
  readonly shape: readonly number[];
  readonly fortranOrder: boolean;
  /** Where the elements begin. */
  readonly dataOffset: number;
  /** Elements. */
  readonly count: number;
}

/** Why a file is no array that can be shown, in words. */
export class NotShown extends Error {}

/** A header has at most so many bytes here: numpy itself refuses to read more than 10,000 of them. */
export const HEADER_BYTES = 65_536;

const TYPES: Readonly<Record<string, DType>> = {
  b1: 'bool',
  u1: 'uint8',
  u2: 'uint16',
  u4: 'uint32',
  u8: 'uint64',
  i1: 'int8',
  i2: 'int16',
  i4: 'int32',
  i8: 'int64',
  f2: 'float16',
  f4: 'float32',
  f8: 'float64',
  c8: 'complex64',
  c16: 'complex128',
};

/** `start`: the first HEADER_BYTES of the file, or all of a shorter one. Throws NotShown. */
export function parseNpyHeader(start: Buffer): NpyHeader {
  //  0  magic       \x93NUMPY
  //  6  major       u8, 1 to 3
  //  7  minor       u8, 0
  //  8  HEADER_LEN  u16 in version 1, u32 after that
  //     header      a Python literal, ASCII in versions 1 and 2, UTF-8 in 3
  if (start.length < 10 || start.toString('latin1', 0, 6) !== '\x93NUMPY')
    throw new NotShown('is no numpy file');
  const version = `${start[6]}.${start[7]}`;
  if (!['1.0', '2.0', '3.0'].includes(version)) throw new NotShown(`is of numpy's format ${version}`);
  const at = version === '1.0' ? 10 : 12;
  if (start.length < at) throw new NotShown('ends in its header');
  const length = version === '1.0' ? start.readUInt16LE(8) : start.readUInt32LE(8);
  const dataOffset = at + length;
  if (dataOffset > HEADER_BYTES) throw new NotShown(`has a header of ${length} bytes`);
  if (dataOffset > start.length) throw new NotShown('ends in its header');
  return { ...parseFields(start.toString('utf8', at, dataOffset)), dataOffset };
}

function parseFields(text: string): Omit<NpyHeader, 'dataOffset'> {
  const literal = /^\s*\{(.*)\}\s*$/s.exec(text)?.[1];
  if (literal === undefined) throw new NotShown('has a header that is no literal');
  const descr = /'descr':\s*(\[|'[^']*')/.exec(literal)?.[1];
  const order = /'fortran_order':\s*(True|False)\b/.exec(literal)?.[1];
  const dimensions = /'shape':\s*\(([\d,\sL]*)\)/.exec(literal)?.[1];
  if (descr === undefined || order === undefined || dimensions === undefined) {
    throw new NotShown('has a header without descr, fortran_order and shape');
  }
  if (descr === '[') throw new NotShown('has records for elements');
  const [, byteOrder = '', type = ''] = /^'([<>|=]?)(.*)'$/.exec(descr) ?? [];
  if (/^O/.test(type)) throw new NotShown('holds pickled Python objects, which are never unpickled');
  const dtype = Object.hasOwn(TYPES, type) ? TYPES[type] : undefined;
  if (dtype === undefined) throw new NotShown(`has elements of type ${descr}`);
  const shape = dimensions
    .split(',')
    .flatMap((part) => (part.trim() === '' ? [] : [Number.parseInt(part, 10)]));
  const count = shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(count * DTYPES[dtype]) || !shape.every(Number.isSafeInteger)) {
    throw new NotShown(`has a shape of (${dimensions.trim()})`);
  }
  return { dtype, bigEndian: byteOrder === '>', shape, fortranOrder: order === 'True', count };
}
