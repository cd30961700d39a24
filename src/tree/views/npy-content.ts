/**
 * A tensor as a .npy file: a header and the tensor's own bytes. np.load(mmap_mode='r') maps it, 'r+' edits the model. A file that replaces it
 * may have a header of another length, and must hold an array of the same dtype and shape.
 */
import type { Tensor } from '../../checkpoint/tensor.ts';
import { errno } from '../../errors.ts';
import {
  NPY_HEADER_BYTES,
  type NpyArray,
  NpyRefusal,
  npyHeader,
  npyHeaderBytes,
  type ParsedNpy,
  parseNpyHeader,
} from '../../numbers/npy-header.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import type {
  ContentWriter,
  ExtentContent,
  FixedContent,
  ImageRange,
  RenderedContent,
} from '../../storage/content.ts';
import type { Extent } from '../../storage/extent.ts';
import type { ImageUpdate } from '../../storage/image.ts';
import { writeWhole } from '../../storage/write-whole.ts';
import { npyArrayOf } from './npy-array.ts';

/** `content` is the content of the tensor's own file. */
export function npyContent(tensor: Tensor, content: FixedContent): FixedContent {
  const header = npyHeader(npyArrayOf(tensor));
  return content.kind === 'extents' ? new NpyExtents(header, content) : new NpyRendered(header, content);
}

/** The size of the file; `bytes` is the size of the tensor's own. */
export function npySize(tensor: Tensor, bytes: number): number {
  return npyHeaderBytes(npyArrayOf(tensor)) + bytes;
}

class NpyExtents implements ExtentContent {
  readonly kind = 'extents';
  readonly size: number;
  readonly writer?: ContentWriter;
  readonly #header: Uint8Array;
  readonly #content: ExtentContent;
  #extents: readonly Extent[] | undefined;

  constructor(header: Uint8Array, content: ExtentContent) {
    this.#header = header;
    this.#content = content;
    this.size = header.byteLength + content.size;
    if (content.writer !== undefined) this.writer = behindHeader(header, content.writer);
  }

  get extents(): readonly Extent[] {
    this.#extents ??= [{ kind: 'inline', bytes: this.#header }, ...this.#content.extents];
    return this.#extents;
  }
}

class NpyRendered implements RenderedContent {
  readonly kind = 'rendered';
  readonly size: number;
  readonly origin?: ImageRange;
  readonly writer?: ContentWriter;
  readonly #header: Uint8Array;
  readonly #content: RenderedContent;

  constructor(header: Uint8Array, content: RenderedContent) {
    this.#header = header;
    this.#content = content;
    this.size = header.byteLength + content.size;
    if (content.origin !== undefined) this.origin = content.origin;
    if (content.writer !== undefined) this.writer = behindHeader(header, content.writer);
  }

  invalidate(): void {
    this.#content.invalidate?.();
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const start = this.#header.byteLength;
    const head = this.#header.subarray(offset, offset + length);
    if (offset + length <= start) return head;
    const from = Math.max(0, offset - start);
    const body = await this.#content.read(from, Math.min(offset + length, this.size) - start - from);
    return head.byteLength === 0 ? body : Buffer.concat([head, body]);
  }
}

/** The header is fixed: only the same bytes can be written over it. */
function behindHeader(header: Uint8Array, writer: ContentWriter): ContentWriter {
  const start = header.byteLength;
  return {
    image: writer.image,
    write: async (update, offset, bytes) => {
      if (offset < start) {
        const head = bytes.subarray(0, start - offset);
        if (Buffer.compare(head, header.subarray(offset, offset + head.byteLength)) !== 0) {
          throw errno('EINVAL', 'the header of a numpy view is fixed: dtype and shape are the tensor’s');
        }
      }
      const rest = offset < start ? bytes.subarray(start - offset) : bytes;
      if (rest.byteLength > 0) await writer.write(update, Math.max(0, offset - start), rest);
    },
  };
}

/** Receives another .npy file that replaces the tensor's. */
export function npyReplacement(tensor: Tensor, content: FixedContent) {
  return async (staged: ByteSource, update: ImageUpdate): Promise<void> => {
    const parsed = headerOf(await staged.read(0, Math.min(staged.size, NPY_HEADER_BYTES)));
    refuseOther(parsed, npyArrayOf(tensor));
    if (parsed.fortranOrder && tensor.shape.filter((size) => size > 1).length > 1) {
      throw errno('EINVAL', 'the array is in Fortran order: save np.ascontiguousarray(array)');
    }
    const size = staged.size - parsed.dataOffset;
    if (size !== content.size)
      throw errno('EINVAL', `${size} bytes of data are not the ${content.size} of the tensor`);
    if (content.writer === undefined) throw errno('EPERM', 'the tensor cannot be written');
    await writeWhole(content, update, (offset, length) => staged.read(parsed.dataOffset + offset, length));
  };
}

function headerOf(start: Uint8Array): ParsedNpy {
  try {
    return parseNpyHeader(start);
  } catch (cause) {
    throw cause instanceof NpyRefusal ? errno('EINVAL', `what was written ${cause.message}`) : cause;
  }
}

function refuseOther(found: NpyArray, own: NpyArray): void {
  // Elements of one byte have no byte order, whatever the header says.
  const plain = (descr: string) => descr.replace(/^[=<|](?=[a-z]1$)/, '|').replace(/^=/, '<');
  if (plain(found.descr) !== plain(own.descr)) {
    throw errno('EINVAL', `an array of ${found.descr}, and the tensor is ${own.descr}`);
  }
  if (found.shape.join() !== own.shape.join()) {
    throw errno(
      'EINVAL',
      `an array of shape [${found.shape.join(', ')}], and the tensor's is [${own.shape.join(', ')}]`,
    );
  }
}
