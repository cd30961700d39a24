import { errno } from '../errors.ts';
import type { ContentWriter } from './content.ts';
import { type Extent, extentLength } from './extent.ts';
import type { Image } from './image.ts';

type ImageExtent = Extract<Extent, { kind: 'image' }>;

/**
 * Writes through a list of extents into their image; other bytes fail with EPERM. `extents` is called at the first write, because a file
 * that is never written may have thousands.
 */
export function extentsWriter(image: Image, extents: () => readonly Extent[]): ContentWriter {
  return {
    image,
    write: async (update, offset, bytes) => {
      let start = 0;
      const end = offset + bytes.byteLength;
      for (const extent of extents()) {
        const stop = start + extentLength(extent);
        const from = Math.max(start, offset);
        const to = Math.min(stop, end);
        if (from < to) {
          const { offset: at } = requireImage(extent, image);
          await update.write(at + (from - start), bytes.subarray(from - offset, to - offset));
        }
        if (stop >= end) return;
        start = stop;
      }
    },
  };
}

function requireImage(extent: Extent, image: Image): ImageExtent {
  if (extent.kind === 'image' && extent.image === image) return extent;
  throw errno('EPERM', `${image.path}: these bytes are not the checkpoint's`);
}
