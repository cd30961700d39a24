/**
 * A tensor as text or CSV: made when it is opened, and parsed as a whole when it is closed. A number is the shortest text that reads back to
 * the same value, so numbers that were not edited come back bit for bit.
 *
 *   no or one dimension   a value a line
 *   two                   a row a line
 *   more, txt             slices of the last two dimensions, each after a line `# [i, j, :, :]`
 *   more, csv             a row of the last dimension a line
 *
 * A tensor with more elements than the limit shows its first elements and says so; it cannot be written as text.
 */
import { numel, type Tensor } from '../../checkpoint/tensor.ts';
import { errno } from '../../errors.ts';
import { parseElements, renderElements, type TextLayout } from '../../numbers/element-text.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import type { FixedContent, SnapshotContent } from '../../storage/content.ts';
import type { ImageUpdate } from '../../storage/image.ts';
import { readContent } from '../../storage/read-extents.ts';
import { writeWhole } from '../../storage/write-whole.ts';

export type TextFormat = 'txt' | 'csv';

/** Maximum number of elements of a tensor that is shown whole. */
export const DEFAULT_TEXT_ELEMENTS = 1_000_000;
/** Elements shown of a larger tensor. */
const HEAD_ELEMENTS = 4096;
/** More than any number needs with its separator; leaves room for comments. */
const LONGEST_NUMBER = 128;
const ROOM_FOR_COMMENTS = 1024 * 1024;

export class TextContent implements SnapshotContent {
  readonly kind = 'snapshot';
  readonly source: FixedContent;
  readonly #tensor: Tensor;
  readonly #format: TextFormat;
  readonly #limit: number;
  #size: number | undefined;
  /** Rises whenever the source changes. */
  #version = 0;
  /** The text of the version, while it is being made or in use. */
  #making: { readonly version: number; readonly text: Promise<Uint8Array> } | undefined;
  #made: { readonly version: number; readonly text: WeakRef<Uint8Array> } | undefined;

  constructor(tensor: Tensor, format: TextFormat, source: FixedContent, limit: number) {
    this.source = source;
    this.#tensor = tensor;
    this.#format = format;
    this.#limit = limit;
  }

  /** Whether all elements are shown, so that they can be edited. */
  get isWhole(): boolean {
    return isShownWhole(this.#tensor, this.#limit);
  }

  knownSize(): number | undefined {
    return this.#size;
  }

  invalidate(): void {
    this.#size = undefined;
    this.#version++;
  }

  /** All callers get the same bytes while nothing changes, and must not change them: thousands of open files share one text. */
  make(): Promise<Uint8Array> {
    const version = this.#version;
    const made = this.#made?.version === version ? this.#made.text.deref() : undefined;
    if (made !== undefined) return Promise.resolve(made);
    if (this.#making?.version === version) return this.#making.text;
    const text = this.#render(version).finally(() => {
      if (this.#making?.text === text) this.#making = undefined;
    });
    this.#making = { version, text };
    return text;
  }

  /** Applies the numbers of a text. Throws EINVAL with line, column and reason; then nothing was written. */
  async replace(staged: ByteSource, update: ImageUpdate): Promise<void> {
    const { writer, size } = this.source;
    if (writer === undefined || !this.isWhole) throw errno('EPERM', 'the tensor cannot be written as text');
    const { dtype } = this.#tensor;
    const most = numel(this.#tensor) * LONGEST_NUMBER + ROOM_FOR_COMMENTS;
    if (staged.size > most) throw errno('EINVAL', `${staged.size} bytes of text are more than ${most}`);
    const text = await staged.read(0, staged.size);
    const elements = Buffer.from(await readContent(this.source, 0, size));
    const fault = await parseElements(dtype, text, elements, layoutOf(this.#tensor, this.#format));
    if (fault !== undefined) {
      throw errno('EINVAL', `line ${fault.line}, column ${fault.column}: ${fault.reason}`);
    }
    await writeWhole(this.source, update, (offset, length) => elements.subarray(offset, offset + length));
  }

  async #render(version: number): Promise<Uint8Array> {
    const text = this.isWhole ? await this.#renderAll() : await this.#renderHead();
    if (version !== this.#version) return text;
    this.#size = text.byteLength;
    this.#made = { version, text: new WeakRef(text) };
    return text;
  }

  async #renderAll(): Promise<Uint8Array> {
    const bytes = await readContent(this.source, 0, this.source.size);
    return renderElements(this.#tensor.dtype, bytes, layoutOf(this.#tensor, this.#format));
  }

  async #renderHead(): Promise<Uint8Array> {
    const all = numel(this.#tensor);
    const layout = layoutOf(this.#tensor, this.#format);
    const whole = Math.floor(HEAD_ELEMENTS / layout.columns) * layout.columns;
    const shown = whole === 0 ? HEAD_ELEMENTS : whole;
    const itemsize = this.source.size / all;
    const bytes = await readContent(this.source, 0, shown * itemsize);
    const head = await renderElements(this.#tensor.dtype, bytes, layout);
    const note = `# the first ${shown} of ${all} elements; text is whole up to ${this.#limit}: /views/npy has all of them\n`;
    return Buffer.concat([head, Buffer.from(note)]);
  }
}

export function isShownWhole(tensor: Tensor, limit: number): boolean {
  return numel(tensor) <= limit;
}

function layoutOf({ shape }: Tensor, format: TextFormat): TextLayout {
  const separator = format === 'csv' ? ',' : ' ';
  // An empty tensor shows nothing, but its rows still have a length.
  const columns = shape.length < 2 ? 1 : Math.max(1, shape.at(-1) ?? 1);
  if (format === 'csv' || shape.length < 3) return { columns, separator };
  return { columns, separator, slices: { outer: shape.slice(0, -2), rows: Math.max(1, shape.at(-2) ?? 1) } };
}
