import type { Invalidation, RequestContext } from '../../../src/fuse/filesystem.ts';
import type { ScratchContent } from '../../../src/fuse/staged-replacement.ts';
import { makeSupplies, type Supplies } from '../../../src/fuse/supplies.ts';
import { TreeFilesystem } from '../../../src/fuse/tree-filesystem.ts';
import type { DirectoryInode, FileInode } from '../../../src/inode.ts';
import type { Content } from '../../../src/storage/content.ts';
import type { Image } from '../../../src/storage/image.ts';
import { InodeTable } from '../../../src/tree/inode-table.ts';
import { type MemoryImage, memoryImage, memoryScratch } from './memory-image.ts';

export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_TRUNC = 0o1000;
export const O_DSYNC = 0o10000;
export const SIZE = 1000;

export interface WritableTree extends MemoryImage {
  readonly filesystem: TreeFilesystem;
  readonly context: RequestContext;
  readonly tree: InodeTable;
  readonly room: DirectoryInode;
  /** The first 1000 bytes; `half` is the second half of them, `gathered` is rendered from them. */
  readonly weight: FileInode;
  readonly half: FileInode;
  readonly gathered: FileInode;
  readonly gradient: FileInode;
  /** Nodeids of the pages that the kernel was told to drop. */
  readonly invalidated: number[];
  readonly named: string[];
  /** Where the kernel was told that a file ends. */
  readonly ends: { readonly nodeid: number; readonly offset: number; readonly byte: number }[];
  readonly log: string[];
  readonly closed: ScratchContent[];
  readonly counts: { flushes: number; drops: number };
}

export function writableTree({
  notify = true,
  supplies = makeSupplies(),
}: {
  notify?: boolean;
  supplies?: Supplies;
} = {}): WritableTree {
  const memory = memoryImage(SIZE + 500);
  const { image } = memory;
  const tree = new InodeTable(1_700_000_000_000);
  const room = tree.room('room', true);
  const counts = { flushes: 0, drops: 0 };
  const log: string[] = [];
  const closed: ScratchContent[] = [];
  const add = (name: string, content: Content, more: Partial<FileInode> = {}) => {
    const inode = tree.insert<FileInode>(
      (nodeid, mtimeMs) => ({ kind: 'file', nodeid, mtimeMs, mode: 0o644, nlink: 0, content, ...more }),
      0,
    );
    tree.link(room, name, inode);
    return inode;
  };
  const weight = add('weight.bin', run(image, 0, SIZE), { element: (text) => byteOf(text) });
  const half = add('half.bin', run(image, SIZE / 2, SIZE / 2));
  const gathered = add('gathered.bin', {
    kind: 'rendered',
    size: SIZE,
    read: (offset, length) => image.read(offset, length),
    origin: { image, offset: 0, length: SIZE },
    invalidate: () => {
      counts.drops++;
    },
  });
  const gradient = add('weight.grad', { ...memoryScratch(closed), maxSize: SIZE });
  const filesystem = new TreeFilesystem(tree, {
    readOnly: false,
    uid: 7,
    gid: 8,
    flush: async () => {
      counts.flushes++;
    },
    makeScratch: () => memoryScratch(closed),
    supplies,
    log: (message) => log.push(message),
  });
  const invalidated: number[] = [];
  const named: string[] = [];
  const ends: WritableTree['ends'] = [];
  if (notify) {
    filesystem.connect({
      invalidate: async (invalidations: readonly Invalidation[]) => {
        for (const one of invalidations) {
          if (one.kind === 'pages') invalidated.push(one.nodeid);
          else if (one.kind === 'name') named.push(one.name);
          else ends.push({ nodeid: one.nodeid, offset: one.offset, byte: one.bytes[0] ?? -1 });
        }
      },
    });
  }
  for (const { nodeid } of [weight, half, gathered, gradient]) filesystem.remember(nodeid);
  const context = { uid: 7, gid: 8, pid: 1, signal: new AbortController().signal };
  return {
    ...memory,
    filesystem,
    context,
    tree,
    room,
    weight,
    half,
    gathered,
    gradient,
    invalidated,
    named,
    ends,
    log,
    closed,
    counts,
  };
}

function run(image: Image, offset: number, size: number): Content {
  return {
    kind: 'extents',
    size,
    extents: [{ kind: 'image', image, offset, length: size }],
    writer: { image, write: (update, at, bytes) => update.write(offset + at, bytes) },
  };
}

function byteOf(text: string): Uint8Array | undefined {
  const value = Number(text);
  return Number.isInteger(value) && value >= 0 && value < 256 ? Uint8Array.of(value) : undefined;
}

export const refusedWith = (name: string) => (error: unknown) => (error as { errno?: string }).errno === name;
