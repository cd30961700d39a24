/**
 * Converts elements to text and back. A number is the shortest decimal text that reads back to the same value; others are `nan`, `inf`, `-inf`,
 * `True` and `False` for bool, `1+2j` for complex. Native threads do the work, so there is no text without the addon.
 */
import { DTYPES, type DType } from '../checkpoint/tensor.ts';
import { MlfsError } from '../errors.ts';
import { loadNative, type NativeAddon } from '../storage/native.ts';

/** How elements are laid out in lines: `columns` elements per line, separated by `separator`, with a newline after each line. */
export interface TextLayout {
  readonly columns: number;
  readonly separator: ' ' | ',';
  /** For more than two dimensions: a comment `# [i, j, :, :]` precedes each slice of `rows` lines. `outer` has the sizes of all but the last two. */
  readonly slices?: { readonly outer: readonly number[]; readonly rows: number };
}

/** The place where a text cannot be read as elements. Lines and columns count from 1; columns count bytes. */
export interface TextFault {
  readonly line: number;
  readonly column: number;
  readonly reason: string;
}

/** Whether elements of a dtype can be shown as text. False without the addon. */
export function hasText(dtype: DType): boolean {
  return loadNative()?.isNumber(dtype) ?? false;
}

/** `bytes` are whole little-endian elements in C order, and must not change until the promise settles. The last line may be shorter. */
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
 * Parses exactly as many elements as `elements` has room for, and writes them over the present ones. A NaN that replaces a NaN keeps the present
 * bits. Empty lines and lines that begin with `#` are skipped; spaces or commas separate numbers. Every line must have `columns` numbers, the last
 * one the rest. Returns the first fault; `elements` may be partly changed then.
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
