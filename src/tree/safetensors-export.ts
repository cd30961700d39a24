/**
 * A model as a safetensors file that is not stored anywhere: a header, followed by the tensors' own extents. The rules are those of
 * checkpoint/safetensors.ts: the tensors cover the data without gaps. The format has no tied tensors, so the bytes of tied weights occur
 * under each of their names here, and once in the checkpoint. Tensors without bytes, or with a dtype or a name that the format does not have, are
 * left out and named in `__metadata__`.
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
import { visible } from '../visible-text.ts';

/** The data begins at a multiple of it, as the reference implementation has it. */
const ALIGNMENT = 8;
/** The name of the tensor in a file that is one bare tensor. */
const NAMELESS = 'tensor';

/** The key of a header that names no tensor. */
const METADATA = '__metadata__';

/** Readers refuse a whole file for one such name. */
const LONE_SURROGATE = /\p{Cs}/u;

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

/** The tensors of a model that the format cannot hold, and why. */
export function* omittedTensors(
  tensors: readonly ModelTensor[],
  cache: RenderedPages,
): Generator<Omitted, void> {
  for (const modelTensor of tensors) {
    const entry = entryOf(modelTensor, tensors.length, cache);
    if ('reason' in entry) yield entry;
  }
}

/** `count`: how many tensors the model has. */
function entryOf({ name: own, tensor }: ModelTensor, count: number, cache: RenderedPages): Entry | Omitted {
  const name = own === '' && count === 1 ? NAMELESS : own;
  if (name === METADATA) return { name, reason: 'safetensors has its metadata under this name' };
  if (LONE_SURROGATE.test(name)) return { name, reason: 'its name is not text that UTF-8 has' };
  const dtype = DTYPE_ROWS[tensor.dtype].safetensors;
  if (dtype === undefined) return { name, reason: `safetensors has no dtype ${tensor.dtype}` };
  const content = contentOf(tensor, cache);
  return content === undefined
    ? { name, reason: 'its bytes are not in the file' }
    : { name, dtype, tensor, content };
}

function* layOut(
  tensors: readonly ModelTensor[],
  cache: RenderedPages,
  others: readonly Omitted[],
): Slices<LaidOut> {
  const bySize = new Map<number, Entry[]>();
  const leftOut: Omitted[] = [];
  for (const [index, modelTensor] of tensors.entries()) {
    const entry = entryOf(modelTensor, tensors.length, cache);
    if ('reason' in entry) leftOut.push(entry);
    else {
      const elementSize = DTYPES[entry.tensor.dtype];
      const alike = bySize.get(elementSize) ?? [];
      alike.push(entry);
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
  text.add(`{"${METADATA}":{"format":"pt"`);
  for (const [index, { name }] of leftOut.entries()) {
    text.add(index === 0 ? ',"mlfs_left_out":"' : ' ');
    text.add(inString(name));
    if (index % SLICE === 0) yield;
  }
  // A line for each: the names may hold spaces.
  for (const [index, { name, reason }] of leftOut.entries()) {
    text.add(index === 0 ? '","mlfs_left_out_because":"' : '\\n');
    text.add(inString(`${name}: ${reason}`));
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

/** A text between the quotes of a string. */
function inString(text: string): string {
  return JSON.stringify(LONE_SURROGATE.test(text) ? visible(text) : text).slice(1, -1);
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
