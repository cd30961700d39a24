import { DTYPES, type Tensor } from '../checkpoint/tensor.ts';
import type { Overlay } from '../storage/overlay.ts';

/** How much of the part of the file that a tensor spans is dirty, and in how many ranges. */
export function dirtyBytes(overlay: Overlay, tensor: Tensor): { bytes: number; ranges: number } {
  const span = fileSpan(tensor);
  if (span === undefined || !overlay.touches(span.start, span.end)) return { bytes: 0, ranges: 0 };
  let bytes = 0;
  let ranges = 0;
  let last = -1;
  for (const { start, end } of overlay.within(span.start, span.end)) {
    bytes += end - start;
    if (start !== last) ranges++;
    last = end;
  }
  return { bytes, ranges };
}

/** From the first to the last byte of a tensor in the checkpoint file; undefined when it is empty, compressed or not in the file. */
function fileSpan({
  storage,
  shape,
  stride,
  storageOffset,
  dtype,
}: Tensor): { start: number; end: number } | undefined {
  const { bytes } = storage;
  if (bytes.kind !== 'extent' || shape.some((size) => size === 0)) return undefined;
  const itemsize = DTYPES[dtype];
  const elements = shape.reduce((sum, size, dim) => sum + (size - 1) * (stride[dim] ?? 0), 1);
  const start = bytes.offset + storageOffset * itemsize;
  const end = Math.min(start + elements * itemsize, bytes.offset + bytes.length);
  return start < end ? { start, end } : undefined;
}
