import type { Image } from './image.ts';

/** A run of a mounted file: bytes of an image, or bytes kept inline (a header). Offsets and lengths in bytes. */
export type Extent =
  | { readonly kind: 'image'; readonly image: Image; readonly offset: number; readonly length: number }
  | { readonly kind: 'inline'; readonly bytes: Uint8Array };

export function extentLength(extent: Extent): number {
  return extent.kind === 'image' ? extent.length : extent.bytes.byteLength;
}
