import { DTYPE_ROWS, type DType, dtypesBy } from '../dtypes.ts';

/**
 * Storage classes, by their names without `Storage`. Python has only some of them. TorchScript archives name the others, because C++ derives the
 * class's name from the dtype's.
 */
const STORAGE_CLASSES = dtypesBy(({ scalarType }) => [scalarType]);
const DTYPES_BY_NAME = dtypesBy(({ aliases = [] }, dtype) => [dtype, ...aliases]);

/** The dtype of a storage class, `untyped` for a storage of bytes, undefined when the global is not a storage class. */
export function storageClass(module: string, name: string): DType | 'untyped' | undefined {
  if (!/^torch(\.|$)/.test(module)) return undefined;
  if (/^_?UntypedStorage$/.test(name)) return 'untyped';
  const kind = name.endsWith('Storage') ? name.slice(0, -'Storage'.length) : '';
  return STORAGE_CLASSES.get(kind);
}

/** The storage class that torch.save names for a dtype; undefined for those it stores as bytes. */
export function storageClassOf(dtype: DType): string | undefined {
  const { kind, scalarType, stored } = DTYPE_ROWS[dtype];
  return stored && kind !== 'quantized' ? `${scalarType}Storage` : undefined;
}

/** `torch.FloatTensor` without `torch.`: what `tensor.type()` says. */
export function tensorTypeName(dtype: DType): string {
  const { kind, scalarType } = DTYPE_ROWS[dtype];
  return `${kind === 'quantized' ? 'quantized.' : ''}${scalarType}Tensor`;
}

/** `torch.float32` → `float32`; undefined when the global is not a dtype. */
export function dtypeNamed(module: string, name: string): DType | undefined {
  return module === 'torch' ? DTYPES_BY_NAME.get(name) : undefined;
}
