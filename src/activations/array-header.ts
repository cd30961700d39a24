/** The facts about the array in a numpy file that are needed to show its elements. */
import { DTYPES, type DType } from '../checkpoint/tensor.ts';
import { NpyRefusal, type ParsedNpy, parseNpyHeader } from '../numbers/npy-header.ts';

export interface ArrayHeader extends Omit<ParsedNpy, 'descr'> {
  readonly dtype: DType;
  readonly bigEndian: boolean;
  /** Number of elements. */
  readonly count: number;
}

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

/** `start` is the first NPY_HEADER_BYTES of a file, or all of a shorter one. Throws NpyRefusal. */
export function arrayHeader(start: Uint8Array): ArrayHeader {
  const { descr, ...layout } = parseNpyHeader(start);
  const [, byteOrder = '', type = ''] = /^([<>|=]?)(.*)$/.exec(descr) ?? [];
  const dtype = Object.hasOwn(TYPES, type) ? TYPES[type] : undefined;
  if (dtype === undefined) throw new NpyRefusal(`has elements of type '${descr}'`);
  const count = layout.shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(count * DTYPES[dtype])) {
    throw new NpyRefusal(`has a shape of (${layout.shape.join(', ')})`);
  }
  return { ...layout, dtype, bigEndian: byteOrder === '>', count };
}
