/**
 * Elements as text and back: the shortest decimal text that reads back to the same value, `nan`, `inf`, `-inf`, `True` and `False` for bool,
 * `1+2j` for complex. Rendered and parsed in native threads; without the addon there is no text.
 */
import { DTYPES, type DType } from '../checkpoint/tensor.ts';
import { MlfsError } from '../errors.ts';
import { loadNative, type NativeAddon } from '../storage/native.ts';

/** How elements become lines: `columns` of them a line, with `separator` between, each line ended by a newline. */
export interface TextLayout {
  readonly columns: number;
  readonly separator: ' ' | ',';
  /** Of more than two dimensions: a comment `# [i, j, :, :]` before each slice of `rows` lines. `outer`: the dimensions before the last two. */
  readonly slices?: { readonly outer: readonly number[]; readonly rows: number };
}

/** Where a text is no list of elements. Lines and columns count from 1, columns in bytes. */
export interface TextFault {
  readonly line: number;
  readonly column: number;
  readonly reason: string;
}

/** Whether elements of a dtype can be shown as text here. */
export function hasText(dtype: DType): boolean {
  return loadNative()?.isNumber(dtype) ?? false;
}

/** `bytes` are whole elements in C order, little-endian, that nobody changes meanwhile. A last line may be shorter. */
export async function renderElements(
  dtype: DType,
  bytes: Uint8Array,
  { columns, separator, slices }: TextLayout,
): Promise<Uint8Array> {
  const { outer, rows } = slices ?? NO_SLICES;
  const elements = wholeElements(dtype, bytes);
  return requireText(dtype).renderElements(dtype, elements, columns, separator, outer, rows);
}

/**
 * Reads exactly the elements that `elements` has room for into it; `elements` holds the present ones. A number that is NaN where a NaN is
 * keeps the present bits. Empty lines and lines that begin with `#` are passed over; numbers stand between spaces or commas. Lines must have
 * `columns` numbers (the last of all what is left). Returns the first fault, and then `elements` may be partly changed.
 */
export async function parseElements(
  dtype: DType,
  text: Uint8Array,
  elements: Uint8Array,
  { columns, separator }: TextLayout,
): Promise<TextFault | undefined> {
  return requireText(dtype).parseElements(dtype, text, wholeElements(dtype, elements), columns, separator);
}

const NO_SLICES = { outer: [], rows: 0 } as const;

function requireText(dtype: DType): NativeAddon {
  const native = loadNative();
  if (native?.isNumber(dtype)) return native;
  throw new MlfsError('ERR_MLFS_TENSOR', `elements of ${dtype} cannot be shown as text here`);
}

function wholeElements(dtype: DType, bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength % DTYPES[dtype] === 0) return bytes;
  throw new RangeError(`${bytes.byteLength} bytes are not whole elements of ${dtype}`);
}
