import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FixedContent } from './content.ts';
import type { ImageUpdate } from './image.ts';

/** What is in memory of bytes that lie somewhere already. */
const SLICE_BYTES = 1024 * 1024;
/** Each slice of a transposed tensor goes through the whole of its storage: few and large ones are much faster. */
const GATHERED_SLICE_BYTES = 8 * 1024 * 1024;

/**
 * Puts other bytes in the place of all of a content's, slice by slice, as part of an update of its image. `read` says what they are. The event loop
 * turns between slices. The content must have a writer.
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
