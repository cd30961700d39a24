import { open } from 'node:fs/promises';
import type { Content, RenderedContent } from '../../src/storage/content.ts';
import type { Extent } from '../../src/storage/extent.ts';
import type { Image } from '../../src/storage/image.ts';
import type { FileInode } from '../../src/tree/inode.ts';
import { InodeTable } from '../../src/tree/inode-table.ts';

/**
 * What the conformance cases are run on: a sparse image of 6 GiB whose interesting places hold a pattern, and a tree of
 * every kind of content over it. Cases work out what they expect from these numbers alone.
 */
export const FACTS = {
  /** Byte at offset o of the image where it is no hole: o modulo this, a prime, so that no power of two repeats it. */
  period: 251,
  imageSize: 6 * 2 ** 30 + 123,
  /** Runs of the image that hold the pattern: [start, end). */
  patterned: [
    [0, 4 * 2 ** 20],
    [2 ** 31 - 2 ** 20, 2 ** 31 + 2 ** 20],
    [2 ** 32 - 2 ** 20, 2 ** 32 + 2 ** 20],
    [6 * 2 ** 30 + 123 - 2 ** 20, 6 * 2 ** 30 + 123],
  ],
  /** tensors/start.bin, tied.bin: one extent, aligned as torch aligns. */
  start: { offset: 64, size: 3 * 2 ** 20 + 17 },
  /** tensors/mixed.npy: header, run, separator, run. */
  mixed: {
    header: 'H'.repeat(128),
    first: { offset: 1000, size: 70_000 },
    separator: 'TAIL!',
    second: { offset: 200_000, size: 123_456 },
  },
  manyCount: 5000,
  mtimeMs: 1_700_000_000_123,
  names: ['with space', 'tab\tand\nnewline', 'größe.bin', '層.bin', '🙂', 'quote\'"$(id)`', 'n'.repeat(255)],
  xattrs: { 'user.mlfs.dtype': 'uint8', 'user.mlfs.shape': '[3145745]' },
  firstLogLine: 'level=info msg="mounted"\n',
} as const;

export async function writeImage(path: string): Promise<void> {
  const handle = await open(path, 'w');
  try {
    await handle.truncate(FACTS.imageSize);
    for (const [start, end] of FACTS.patterned) {
      const bytes = Buffer.allocUnsafe(end - start);
      for (let index = 0; index < bytes.length; index++) bytes[index] = (start + index) % FACTS.period;
      await handle.write(bytes, 0, bytes.length, start);
    }
  } finally {
    await handle.close();
  }
}

/** `onBlocked` is told when somebody waits for what never comes. */
export function syntheticTree(image: Image, onBlocked: () => void): InodeTable {
  const tree = new InodeTable(FACTS.mtimeMs);
  const tensors = tree.folder(tree.root, 'tensors');
  const run = ({ offset, size }: { offset: number; size: number }): Extent => ({
    kind: 'image',
    image,
    offset,
    length: size,
  });
  const inline = (text: string): Extent => ({ kind: 'inline', bytes: Buffer.from(text) });
  const { start, mixed } = FACTS;

  const startInode = tree.insert<FileInode>(
    (nodeid, mtimeMs) => ({
      kind: 'file',
      nodeid,
      mtimeMs,
      mode: 0o444,
      nlink: 0,
      content: { kind: 'extents', size: start.size, extents: [run(start)] },
      xattrs: new Map(Object.entries(FACTS.xattrs)),
    }),
    start.size,
  );
  tree.link(tensors, 'start.bin', startInode);
  tree.link(tensors, 'tied.bin', startInode);
  const mixedExtents = [inline(mixed.header), run(mixed.first), inline(mixed.separator), run(mixed.second)];
  const mixedSize = mixed.header.length + mixed.first.size + mixed.separator.length + mixed.second.size;
  tree.add(tensors, 'mixed.npy', {
    content: () => ({ kind: 'extents', size: mixedSize, extents: mixedExtents }),
    size: mixedSize,
  });
  tree.add(tensors, 'whole.pt', {
    content: () => ({
      kind: 'extents',
      size: FACTS.imageSize,
      extents: [run({ offset: 0, size: FACTS.imageSize })],
    }),
    size: FACTS.imageSize,
  });
  tree.add(tensors, 'empty.bin', { content: () => ({ kind: 'extents', size: 0, extents: [] }) });

  const rendered: RenderedContent = {
    kind: 'rendered',
    size: start.size,
    read: (offset, length) => image.read(start.offset + offset, length),
  };
  tree.add(tensors, 'gather.bin', { content: () => rendered, size: start.size });

  const sys = tree.folder(tree.root, 'sys');
  let opens = 0;
  tree.add(sys, 'status.json', {
    content: () => ({
      kind: 'snapshot',
      make: async () => Buffer.from(`${JSON.stringify({ made: ++opens, filler: 'x'.repeat(opens) })}\n`),
    }),
  });
  const blocked = tree.folder(tree.root, 'blocked');
  tree.add(blocked, 'never.bin', { content: () => neverRead(onBlocked) });
  tree.add(blocked, 'never.json', {
    content: () => ({
      kind: 'snapshot',
      make: () => {
        onBlocked();
        return new Promise(() => undefined);
      },
    }),
  });

  let log = Buffer.from(FACTS.firstLogLine);
  tree.add(tree.folder(tree.root, 'logs'), 'fuse.log', {
    mode: 0o644,
    content: () => ({
      kind: 'live',
      size: () => log.length,
      read: async (offset, length) => log.subarray(offset, offset + length),
      append: async (bytes) => {
        log = Buffer.concat([log, bytes]);
      },
    }),
  });

  const names = tree.folder(tree.root, 'names');
  for (const name of FACTS.names) tree.add(names, name, text(name));
  const many = tree.folder(tree.root, 'many');
  for (let index = 0; index < FACTS.manyCount; index++)
    tree.add(many, `layer.${index}.bin`, text(String(index)));
  return tree;
}

function text(contents: string): { content: () => Content } {
  const bytes = Buffer.from(contents);
  return { content: () => ({ kind: 'extents', size: bytes.length, extents: [{ kind: 'inline', bytes }] }) };
}

function neverRead(onBlocked: () => void): RenderedContent {
  return {
    kind: 'rendered',
    size: 4096,
    read: () => {
      onBlocked();
      return new Promise(() => undefined);
    },
  };
}
