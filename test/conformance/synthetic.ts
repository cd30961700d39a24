import { open } from 'node:fs/promises';
import type { FileInode } from '../../src/inode.ts';
import type { Content, RenderedContent } from '../../src/storage/content.ts';
import type { Extent } from '../../src/storage/extent.ts';
import type { Image } from '../../src/storage/image.ts';
import { InodeTable } from '../../src/tree/inode-table.ts';
import { FACTS } from './facts.ts';
import { addWritableRoom, type SyntheticSources } from './writable-room.ts';

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

export function syntheticTree(image: Image, sources: SyntheticSources): InodeTable {
  const { onBlocked } = sources;
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
    isCheap: true,
  });
  tree.add(tensors, 'whole.pt', {
    content: () => ({
      kind: 'extents',
      size: FACTS.imageSize,
      extents: [run({ offset: 0, size: FACTS.imageSize })],
    }),
    size: FACTS.imageSize,
    isCheap: true,
  });
  tree.add(tensors, 'empty.bin', {
    content: () => ({ kind: 'extents', size: 0, extents: [] }),
    isCheap: true,
  });

  const rendered: RenderedContent = {
    kind: 'rendered',
    size: start.size,
    read: (offset, length) => image.read(start.offset + offset, length),
  };
  tree.add(tensors, 'gather.bin', { content: () => rendered, size: start.size, isCheap: true });

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
      changedMs: () => FACTS.mtimeMs + log.length,
      read: async (offset, length) => log.subarray(offset, offset + length),
      appender: () => ({
        append: (bytes) => {
          log = Buffer.concat([log, bytes]);
        },
        end: () => undefined,
      }),
    }),
  });

  addWritableRoom(tree, image, sources);

  const names = tree.folder(tree.root, 'names');
  for (const name of FACTS.names) tree.add(names, name, text(name));
  const many = tree.folder(tree.root, 'many');
  for (let index = 0; index < FACTS.manyCount; index++)
    tree.add(many, `layer.${index}.bin`, text(String(index)));
  return tree;
}

function text(contents: string): { content: () => Content; isCheap: true } {
  const bytes = Buffer.from(contents);
  return {
    content: () => ({ kind: 'extents', size: bytes.length, extents: [{ kind: 'inline', bytes }] }),
    isCheap: true,
  };
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
