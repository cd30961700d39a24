import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FixedContent } from './content.ts';
import type { ImageUpdate } from './image.ts';

/** Slice size for content whose bytes are stored as they are. */
const SLICE_BYTES = 1024 * 1024;
/** Slice size for computed content: each slice of a transposed tensor reads its whole storage, so few and large slices are much faster. */
const GATHERED_SLICE_BYTES = 8 * 1024 * 1024;

/**
 * Replaces all bytes of a content, slice by slice, as part of an update of its image. `read` provides the new bytes. The event loop runs
 * between slices. The content must have a writer.
 */
export async function writeWhole(
  { kind, size, writer }: FixedContent,
  update: ImageUpdate,
  read: (offset: number, length: number) => Promise<Uint8Array> | Uint8Array,
): Promise<void> {
  if (writer === undefined) throw new Error('a content without a writer cannot be written');
  const slice = kind === 'extents' ? SLICE_BYTES : GATHERED_SLICE_BYTES;
  for (let at = 0; at < size; at += slice) {
    await writer.write(update, at, await read(at, Math.min(slice, size - at)));
    await nextTurn();
  }
}
