/** What a numpy file holds, as far as its elements can be shown. */
import { dtypeOfNumpy } from '../checkpoint/dtypes.ts';
import { DTYPES, type DType } from '../checkpoint/tensor.ts';
import { NpyRefusal, type ParsedNpy, parseNpyHeader } from '../numbers/npy-header.ts';

export interface ArrayHeader extends Omit<ParsedNpy, 'descr'> {
  readonly dtype: DType;
  readonly bigEndian: boolean;
  /** Number of elements. */
  readonly count: number;
}

/** `start`: the first NPY_HEADER_BYTES of a file, or all of a shorter one. Throws NpyRefusal. */
export function arrayHeader(start: Uint8Array): ArrayHeader {
  const { descr, ...layout } = parseNpyHeader(start);
  const [, byteOrder = '', type = ''] = /^([<>|=]?)(.*)$/.exec(descr) ?? [];
  const dtype = dtypeOfNumpy(type);
  if (dtype === undefined) throw new NpyRefusal(`has elements of type '${descr}'`);
  const count = layout.shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(count * DTYPES[dtype])) {
    throw new NpyRefusal(`has a shape of (${layout.shape.join(', ')})`);
  }
  return { ...layout, dtype, bigEndian: byteOrder === '>', count };
}
