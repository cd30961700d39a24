/**
 * A model as a safetensors file that is nowhere written: a header, and after it the tensors' own extents. The rules are those of
 * checkpoint/safetensors.ts: the tensors cover the data without holes. The format knows no ties, so tied weights are there under each of
 * their names, and in the checkpoint once. What it has no dtype for, or has no bytes, is left out and named in `__metadata__`.
 */
import { SAFETENSORS_DTYPES } from '../checkpoint/safetensors-dtypes.ts';
import { DTYPES, type Tensor } from '../checkpoint/tensor.ts';
import { tensorContent } from '../checkpoint/tensor-content.ts';
import { MlfsError } from '../errors.ts';
import type { ExtentContent, FixedContent } from '../storage/content.ts';
import type { Extent } from '../storage/extent.ts';
import type { PageCache } from '../storage/page-cache.ts';
import type { ModelTensor } from './model-tensors.ts';

const NAMES = new Map(Array.from(SAFETENSORS_DTYPES, ([name, dtype]) => [dtype, name]));
/** The data begins at a multiple of it, as the reference implementation has it. */
const ALIGNMENT = 8;
/** What a file that is one tensor without a name calls it. */
const NAMELESS = 'tensor';

interface Entry {
  readonly name: string;
  readonly dtype: string;
  readonly tensor: Tensor;
  readonly content: FixedContent;
}

export class SafetensorsExport implements ExtentContent {
  readonly kind = 'extents';
  readonly #tensors: readonly ModelTensor[];
  readonly #cache: PageCache;
  #laidOut: { readonly size: number; readonly extents: readonly Extent[] } | undefined;

  constructor(tensors: readonly ModelTensor[], cache: PageCache) {
    this.#tensors = tensors;
    this.#cache = cache;
  }

  get size(): number {
    return this.#layOut().size;
  }

  get extents(): readonly Extent[] {
    return this.#layOut().extents;
  }

  #layOut(): { readonly size: number; readonly extents: readonly Extent[] } {
    this.#laidOut ??= layOut(this.#tensors, this.#cache);
    return this.#laidOut;
  }
}

function layOut(tensors: readonly ModelTensor[], cache: PageCache) {
  const entries: Entry[] = [];
  const leftOut: string[] = [];
  for (const { name: own, tensor } of tensors) {
    const name = own === '' ? NAMELESS : own;
    const dtype = NAMES.get(tensor.dtype);
    const content = dtype === undefined ? undefined : contentOf(tensor, cache);
    if (dtype === undefined || content === undefined) leftOut.push(name);
    else entries.push({ name, dtype, tensor, content });
  }
  // Large elements first: each tensor is then aligned to its own.
  entries.sort((a, b) => DTYPES[b.tensor.dtype] - DTYPES[a.tensor.dtype]);

  const header = headerOf(entries, leftOut);
  const extents: Extent[] = [{ kind: 'inline', bytes: header }];
  let size = header.byteLength;
  for (const { content } of entries) {
    size += content.size;
    if (content.size > 0) extents.push(...extentsOf(content));
  }
  return { size, extents };
}

function headerOf(entries: readonly Entry[], leftOut: readonly string[]): Uint8Array {
  const metadata = { format: 'pt', ...(leftOut.length === 0 ? {} : { mlfs_left_out: leftOut.join(' ') }) };
  // A map and no object: `__proto__` is a name like any other.
  const fields = [`"__metadata__":${JSON.stringify(metadata)}`];
  let at = 0;
  for (const { name, dtype, tensor, content } of entries) {
    const described = { dtype, shape: shapeOf(tensor), data_offsets: [at, at + content.size] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(described)}`);
    at += content.size;
  }
  const json = Buffer.from(`{${fields.join(',')}}`);
  const length = Math.ceil(json.byteLength / ALIGNMENT) * ALIGNMENT;
  const header = Buffer.alloc(8 + length, ' ');
  header.writeBigUInt64LE(BigInt(length));
  json.copy(header, 8);
  return header;
}

function shapeOf({ dtype, shape }: Tensor): readonly number[] {
  if (dtype !== 'float4_e2m1fn_x2') return shape;
  return shape.map((extent, dim) => (dim === shape.length - 1 ? extent * 2 : extent));
}

/** Undefined for a tensor that has no bytes or cannot be laid out. */
function contentOf(tensor: Tensor, cache: PageCache): FixedContent | undefined {
  if (tensor.storage.bytes.kind === 'absent') return undefined;
  try {
    return tensorContent(tensor, cache);
  } catch (cause) {
    if (cause instanceof MlfsError) return undefined;
    throw cause;
  }
}

function extentsOf(content: FixedContent): readonly Extent[] {
  if (content.kind === 'extents') return content.extents;
  return [{ kind: 'computed', length: content.size, read: (offset, length) => content.read(offset, length) }];
}
