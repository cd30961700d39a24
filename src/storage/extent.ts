import type { Image } from './image.ts';

/**
 * A run of a mounted file: bytes of an image, inline bytes (a header), or a few bytes that are computed at each read (a checksum that
 * follows the edits). Offsets and lengths are in bytes.
 */
export type Extent =
  | { readonly kind: 'image'; readonly image: Image; readonly offset: number; readonly length: number }
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'computed';
      readonly length: number;
      /** Exactly [offset, offset + length) of this run, in its present state. */
      readonly read: (offset: number, length: number) => Promise<Uint8Array>;
    };

export function extentLength(extent: Extent): number {
  return extent.kind === 'inline' ? extent.bytes.byteLength : extent.length;
}
