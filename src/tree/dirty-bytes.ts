import { collapse, count, type Dim, span } from '../checkpoint/strided-layout.ts';
import { DTYPES, PACKED_ELEMENTS, type Tensor } from '../checkpoint/tensor.ts';
import type { Overlay } from '../storage/overlay.ts';

/** How many bytes of a tensor are dirty, and in how many ranges of the checkpoint file they lie. */
export interface DirtyBytes {
  readonly bytes: number;
  readonly ranges: number;
}

const CLEAN: DirtyBytes = { bytes: 0, ranges: 0 };

/**
 * Bytes between the elements of a strided view do not count. In a view whose elements overlap partly (as_strided can make such views),
 * everything from the first byte to the last counts.
 */
export function dirtyBytes(overlay: Overlay, tensor: Tensor): DirtyBytes {
  const { storage, storageOffset, shape, dtype } = tensor;
  if (storage.bytes.kind !== 'extent' || overlay.empty || shape.includes(0)) return CLEAN;
  const packed = PACKED_ELEMENTS[dtype] ?? 1;
  const dims = bytesOf(tensor, packed);
  const start = storage.bytes.offset + Math.floor(storageOffset / packed) * DTYPES[dtype];
  const end = Math.min(start + span(dims), storage.bytes.offset + storage.bytes.length);
  if (start >= end || !overlay.touches(start, end)) return CLEAN;
  let bytes = 0;
  let ranges = 0;
  let last = -1;
  for (const piece of overlay.within(start, end)) {
    const own = countBelow(dims, piece.end - start) - countBelow(dims, piece.start - start);
    if (own === 0) continue;
    bytes += own;
    if (piece.start !== last) ranges++;
    last = piece.end;
  }
  return { bytes, ranges };
}

/** The dims of a view in bytes, largest step first, if each step is larger than everything inside it. */
function bytesOf({ shape, stride, dtype }: Tensor, packed: number): readonly Dim[] {
  const itemsize = DTYPES[dtype];
  if (packed > 1) {
    const elements = shape.reduce((product, size) => product * size, 1);
    return [{ size: Math.ceil(elements / packed) * itemsize, stride: 1 }];
  }
  const dims = collapse([...shape, itemsize], [...stride.map((step) => step * itemsize), 1]);
  // Expanded dims show the same bytes again.
  const apart = dims.filter(({ stride: step }) => step > 0).sort((a, b) => b.stride - a.stride);
  const nested = apart.every(({ stride: step }, index) => step >= span(apart.slice(index + 1)));
  return nested ? apart : [{ size: span(apart), stride: 1 }];
}

/** How many bytes of the view lie before this one, counted from the view's first byte. */
function countBelow(dims: readonly Dim[], position: number): number {
  let below = 0;
  let rest = position;
  for (const [index, { size, stride }] of dims.entries()) {
    const inner = count(dims.slice(index + 1));
    const whole = Math.floor(rest / stride);
    if (whole >= size) return below + size * inner;
    below += whole * inner;
    rest -= whole * stride;
  }
  return rest > 0 ? below + 1 : below;
}
