/**
 * A model as a safetensors file that is not stored anywhere: a header, followed by the tensors' own extents. The rules are those of
 * checkpoint/safetensors.ts: the tensors cover the data without gaps. The format has no tied tensors, so the bytes of tied weights occur
 * under each of their names here, and once in the checkpoint. Tensors without bytes, or with a dtype that the format does not have, are left
 * out and named in `__metadata__`.
 */
import { DTYPE_ROWS } from '../checkpoint/dtypes.ts';
import type { ModelTensor } from '../checkpoint/model.ts';
import { headerShape } from '../checkpoint/safetensors-dtypes.ts';
import { DTYPES, type Tensor } from '../checkpoint/tensor.ts';
import { tensorContent } from '../checkpoint/tensor-content.ts';
import { MlfsError } from '../errors.ts';
import type { ExtentContent, FixedContent } from '../storage/content.ts';
import type { Extent } from '../storage/extent.ts';
import type { RenderedPages } from '../storage/rendered-pages.ts';
import { Sliced } from '../storage/sliced.ts';
import { Utf8Pieces } from '../storage/utf8-pieces.ts';

/** The data begins at a multiple of it, as the reference implementation has it. */
const ALIGNMENT = 8;
/** The name of the tensor in a file that is one bare tensor. */
const NAMELESS = 'tensor';

/** Tensors between two yields. */
const SLICE = 64;

interface Entry {
  readonly name: string;
  readonly dtype: string;
  readonly tensor: Tensor;
  readonly content: FixedContent;
}

/** A tensor that is not in the export, and why. */
export interface Omitted {
  readonly name: string;
  readonly reason: string;
}

interface LaidOut {
  readonly size: number;
  readonly extents: readonly Extent[];
}

/** Work that yields between its parts. */
type Slices<T> = Generator<void, T>;

export class SafetensorsExport implements ExtentContent {
  readonly kind = 'extents';
  readonly layout: Sliced<LaidOut>;

  /** `others` are not tensors of the model; the export names them as left out. */
  constructor(tensors: readonly ModelTensor[], cache: RenderedPages, others: readonly Omitted[] = []) {
    this.layout = new Sliced(() => layOut(tensors, cache, others));
  }

  get size(): number {
    return this.layout.value.size;
  }

  get extents(): readonly Extent[] {
    return this.layout.value.extents;
  }
}

function* layOut(
  tensors: readonly ModelTensor[],
  cache: RenderedPages,
  others: readonly Omitted[],
): Slices<LaidOut> {
  const bySize = new Map<number, Entry[]>();
  const leftOut: Omitted[] = [];
  for (const [index, { name: own, tensor }] of tensors.entries()) {
    const name = own === '' && tensors.length === 1 ? NAMELESS : own;
    const dtype = DTYPE_ROWS[tensor.dtype].safetensors;
    const content = dtype === undefined ? undefined : contentOf(tensor, cache);
    if (dtype === undefined) leftOut.push({ name, reason: `safetensors has no dtype ${tensor.dtype}` });
    else if (content === undefined) leftOut.push({ name, reason: 'its bytes are not in the file' });
    else {
      const elementSize = DTYPES[tensor.dtype];
      const alike = bySize.get(elementSize) ?? [];
      alike.push({ name, dtype, tensor, content });
      bySize.set(elementSize, alike);
    }
    if (index % SLICE === 0) yield;
  }
  for (const other of others) leftOut.push(other);
  // Tensors with large elements come first: then each tensor is aligned to its own element size.
  const groups = Array.from(bySize)
    .sort(([a], [b]) => b - a)
    .map(([, entries]) => entries);

  const header = yield* headerOf(groups, leftOut);
  const extents: Extent[] = header.map((bytes) => ({ kind: 'inline', bytes }));
  let size = header.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let listed = 0;
  for (const { content } of groups.flat()) {
    size += content.size;
    if (content.size > 0) for (const extent of extentsOf(content)) extents.push(extent);
    if (++listed % SLICE === 0) yield;
  }
  return { size, extents };
}

/** The length, the text in pieces, and the padding after it. */
function* headerOf(groups: readonly (readonly Entry[])[], leftOut: readonly Omitted[]): Slices<Uint8Array[]> {
  const text = new Utf8Pieces();
  // A map and not an object: `__proto__` is a name like any other.
  text.add('{"__metadata__":{"format":"pt"');
  for (const [index, { name }] of leftOut.entries()) {
    text.add(index === 0 ? ',"mlfs_left_out":"' : ' ');
    text.add(JSON.stringify(name).slice(1, -1));
    if (index % SLICE === 0) yield;
  }
  // A line for each: the names may hold spaces.
  for (const [index, { name, reason }] of leftOut.entries()) {
    text.add(index === 0 ? '","mlfs_left_out_because":"' : '\\n');
    text.add(JSON.stringify(`${name}: ${reason}`).slice(1, -1));
    if (index % SLICE === 0) yield;
  }
  text.add(leftOut.length === 0 ? '}' : '"}');
  let at = 0;
  let written = 0;
  for (const entries of groups) {
    for (const { name, dtype, tensor, content } of entries) {
      const described = { dtype, shape: headerShape(tensor), data_offsets: [at, at + content.size] };
      text.add(`,${JSON.stringify(name)}:${JSON.stringify(described)}`);
      at += content.size;
      if (++written % SLICE === 0) yield;
    }
  }
  text.add('}');
  const pieces = text.end();
  const length = Math.ceil(text.bytes / ALIGNMENT) * ALIGNMENT;
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(length));
  return [head, ...pieces, ...(length > text.bytes ? [Buffer.alloc(length - text.bytes, ' ')] : [])];
}

/** Undefined for a tensor that has no bytes or cannot be laid out. */
function contentOf(tensor: Tensor, cache: RenderedPages): FixedContent | undefined {
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
