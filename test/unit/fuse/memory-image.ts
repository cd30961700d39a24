import type { ScratchContent } from '../../../src/fuse/staged-replacement.ts';
import { Image, type ImageBase, type ImageEditor } from '../../../src/storage/image.ts';
import { Mutex } from '../../../src/storage/mutex.ts';
import type { DirtyRange } from '../../../src/storage/overlay.ts';

export interface MemoryImage {
  readonly image: Image;
  /** The bytes as they are now. */
  readonly bytes: Buffer;
  /** How many updates changed something, and how many of them were atomic. */
  readonly updates: { changed: number; atomic: number };
}

/** An image whose edits are kept in memory: updates are exclusive, in order, and atomic ones are all or nothing. */
export function memoryImage(size: number): MemoryImage {
  const bytes = Buffer.alloc(size);
  const base = {
    path: 'memory',
    size,
    fd: undefined,
    read: async (offset: number, length: number) => Buffer.from(bytes.subarray(offset, offset + length)),
  } as unknown as ImageBase;
  const image = new Image(base);
  const updates = { changed: 0, atomic: 0 };
  const mutex = new Mutex();
  const editor: ImageEditor = {
    update: (task, { atomic = false }) =>
      mutex.run(async () => {
        const before = Buffer.from(bytes);
        const writes: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
        const result = await task({
          read: async (offset, length) => Buffer.from(before.subarray(offset, offset + length)),
          write: async (offset, written) => {
            writes.push({ offset, bytes: Uint8Array.from(written) });
          },
        });
        const ranges: DirtyRange[] = [];
        for (const { offset, bytes: written } of writes) {
          if (before.subarray(offset, offset + written.length).equals(written)) continue;
          bytes.set(written, offset);
          ranges.push({ start: offset, end: offset + written.length });
        }
        if (ranges.length === 0) return result;
        updates.changed++;
        if (atomic) updates.atomic++;
        ranges.sort((a, b) => a.start - b.start);
        image.changed({ ranges, chunks: new Set() });
        return result;
      }),
  };
  image.makeWritable(editor);
  return { image, bytes, updates };
}

/** A scratch file in memory. `closed` are those that were closed. */
export function memoryScratch(closed: ScratchContent[] = []): ScratchContent {
  let bytes = Buffer.alloc(0);
  const scratch: ScratchContent = {
    kind: 'stored',
    maxSize: 1 << 20,
    size: () => bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
    write: async (offset, written) => {
      const grown = Buffer.alloc(Math.max(bytes.length, offset + written.length));
      bytes.copy(grown);
      grown.set(written, offset);
      bytes = grown;
    },
    truncate: async (size) => {
      bytes = Buffer.concat([bytes.subarray(0, size), Buffer.alloc(Math.max(0, size - bytes.length))]);
    },
    sync: async () => undefined,
    close: async () => {
      closed.push(scratch);
    },
  };
  return scratch;
}
