/**
 * Elements as text and back: the shortest decimal text that reads back to the same value, `nan`, `inf`, `-inf`, `True`/`False` for bool,
 * `(1+2j)`-less pairs `1+2j` for complex. Rendered and parsed in native threads.
 */
import type { DType } from '../checkpoint/tensor.ts';
import { MlfsError } from '../errors.ts';

/** How elements become lines: `columns` of them a line, with `separator` between, each line ended by a newline. */
export interface TextLayout {
  readonly columns: number;
  readonly separator: ' ' | ',';
}

/** Where a text is no list of elements. Lines and columns count from 1, columns in bytes. */
export interface TextFault {
  readonly line: number;
  readonly column: number;
  readonly reason: string;
}

/** Whether elements of a dtype can be shown as text. */
export function hasText(_dtype: DType): boolean {
  return false;
}

/** `bytes` are whole elements in C order, little-endian. A last line may be shorter. */
export async function renderElements(
  dtype: DType,
  bytes: Uint8Array,
  _layout: TextLayout,
): Promise<Uint8Array> {
  throw new MlfsError('ERR_MLFS_TENSOR', `${dtype}: ${bytes.byteLength} bytes: to be built`);
}

/**
 * Reads exactly the elements that `elements` has room for into it; `elements` holds the present ones. A number that is NaN where a NaN is
 * keeps the present bits. Empty lines and lines that begin with `#` are passed over; spaces around numbers too. Lines must have
 * `columns` numbers (the last of all what is left). Returns the first fault, and then `elements` may be partly changed.
 */
export async function parseElements(
  dtype: DType,
  text: Uint8Array,
  elements: Uint8Array,
  _layout: TextLayout,
): Promise<TextFault | undefined> {
  throw new MlfsError('ERR_MLFS_TENSOR', `${dtype}: ${text.byteLength}, ${elements.byteLength}: to be built`);
}
