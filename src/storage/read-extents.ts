import type { FixedContent } from './content.ts';
import { type Extent, extentLength } from './extent.ts';
import { partitionPoint } from './partition-point.ts';

/**
 * Reads [offset, offset + length) of a file that is a list of extents: what the data plane does without JavaScript, for
 * transports that have none. The range must lie inside the file.
 */
export async function readExtents(
  extents: readonly Extent[],
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const starts = startsOf(extents);
  const end = offset + length;
  const pieces: Promise<Uint8Array>[] = [];
  for (let index = indexAt(starts, offset), at = offset; at < end; index++) {
    const extent = extents[index];
    const start = starts[index];
    if (extent === undefined || start === undefined) {
      throw new RangeError(`bytes ${offset} to ${end} leave the extents, which end at ${at}`);
    }
    const stop = Math.min(end, start + extentLength(extent));
    if (stop > at) pieces.push(readExtent(extent, at - start, stop - at));
    at = stop;
  }
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : Buffer.concat(await Promise.all(pieces));
}

async function readExtent(extent: Extent, offset: number, length: number): Promise<Uint8Array> {
  switch (extent.kind) {
    case 'inline':
      return extent.bytes.subarray(offset, offset + length);
    case 'computed':
      return extent.read(offset, length);
    case 'image':
      return extent.image.read(extent.offset + offset, length);
  }
}

/** Start offset of each extent in the file. An export has an extent for each of thousands of tensors. */
const STARTS = new WeakMap<readonly Extent[], Float64Array>();

function startsOf(extents: readonly Extent[]): Float64Array {
  let starts = STARTS.get(extents);
  if (starts === undefined) {
    starts = new Float64Array(extents.length);
    let at = 0;
    for (const [index, extent] of extents.entries()) {
      starts[index] = at;
      at += extentLength(extent);
    }
    STARTS.set(extents, starts);
  }
  return starts;
}

/** Index of the last extent that begins at or before `offset`. */
function indexAt(starts: Float64Array, offset: number): number {
  const after = partitionPoint(starts.length, (index) => (starts[index] as number) > offset);
  return Math.max(0, after - 1);
}

/** Bytes [offset, offset + length) of a content of fixed size, cut at its end. */
export async function readContent(
  content: FixedContent,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const available = Math.min(length, content.size - offset);
  if (available <= 0) return new Uint8Array(0);
  return content.kind === 'extents'
    ? readExtents(content.extents, offset, available)
    : content.read(offset, available);
}
