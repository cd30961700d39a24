import { sha256 } from './sha256.ts';

/** torch's names of the dtypes that safetensors writes in capitals. */
const DTYPES: Readonly<Record<string, string>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  F8_E4M3: 'float8_e4m3fn',
  F8_E5M2: 'float8_e5m2',
  I64: 'int64',
  I32: 'int32',
  I16: 'int16',
  I8: 'int8',
  U64: 'uint64',
  U32: 'uint32',
  U16: 'uint16',
  U8: 'uint8',
  BOOL: 'bool',
  C64: 'complex64',
  F8_E8M0: 'float8_e8m0fnu',
  F8_E4M3FNUZ: 'float8_e4m3fnuz',
  F8_E5M2FNUZ: 'float8_e5m2fnuz',
  F4: 'float4_e2m1fn_x2',
};

interface HeaderTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** From the end of the header. */
  readonly data_offsets: readonly [begin: number, end: number];
}

/** The tensors of a safetensors file, read in the shortest way there is, to compare with the careful one. */
export function readSafetensorsPlainly(
  bytes: Buffer,
): { name: string; dtype: string; shape: readonly number[]; sha256: string }[] {
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header: Record<string, HeaderTensor> = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes));
  const body = bytes.subarray(8 + headerBytes);
  return Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, { dtype, shape, data_offsets }]) => ({
      name,
      dtype: DTYPES[dtype] ?? dtype,
      shape,
      sha256: sha256(body.subarray(...data_offsets)),
    }));
}
