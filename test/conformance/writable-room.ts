import { errno } from '../../src/errors.ts';
import type { DirectoryInode, FileInode } from '../../src/inode.ts';
import type { ByteSource } from '../../src/storage/byte-source.ts';
import type {
  CommandContent,
  Content,
  ContentWriter,
  RenderedContent,
  StoredContent,
} from '../../src/storage/content.ts';
import type { Image, ImageUpdate } from '../../src/storage/image.ts';
import type { InodeTable } from '../../src/tree/inode-table.ts';
import { FACTS } from './facts.ts';

export interface SyntheticSources {
  /** Is told when somebody waits for what never comes. */
  readonly onBlocked: () => void;
  /** Without it nothing is stored. */
  readonly gradient?: StoredContent;
  readonly control: CommandContent;
}

/** /room: every way in which content can be written, over one storage that starts as zeroes. */
export function addWritableRoom(tree: InodeTable, image: Image, sources: SyntheticSources): void {
  const room = tree.room('room', true);
  const sub = tree.folder(room, 'sub');
  const { offset, size, part, floats, other, gradientBytes } = FACTS.room;

  const a = add(tree, room, 'a.bin', run(image, offset, size));
  tree.link(room, 'tied.bin', a);
  add(tree, room, 'part.bin', run(image, offset + part.offset, part.size));
  add(tree, room, 'second.bin', everySecond(image));
  add(tree, room, 'floats.bin', run(image, floats.offset, floats.elements * 4), { element: float32 });
  add(tree, room, 'floats.txt', floatsAsText(image), {
    replace: (staged, update) => parseFloats(staged, update),
  });
  add(tree, sub, 'other.bin', run(image, other.offset, other.size));
  // A plain view: there is no writer, as for tensors that are expanded or compressed.
  const { writer: _, ...plain } = run(image, offset, 4000);
  add(tree, room, 'expanded.bin', plain, { mode: 0o444 });
  if (sources.gradient !== undefined) add(tree, room, 'weight.grad', sources.gradient);
  else add(tree, room, 'weight.grad', { kind: 'extents', size: 0, extents: [] }, { mode: 0o444 });
  if (gradientBytes < 1) throw new Error('a gradient needs room');
  tree.add(tree.root, 'control', { content: () => sources.control, mode: 0o644 });
}

function add(
  tree: InodeTable,
  folder: DirectoryInode,
  name: string,
  content: Content,
  more: Partial<Pick<FileInode, 'mode' | 'element' | 'replace'>> = {},
): FileInode {
  const inode = tree.insert<FileInode>(
    (nodeid, mtimeMs) => ({ kind: 'file', nodeid, mtimeMs, mode: 0o644, nlink: 0, content, ...more }),
    0,
  );
  tree.link(folder, name, inode);
  return inode;
}

function run(image: Image, offset: number, size: number): Content & { kind: 'extents' } {
  const writer: ContentWriter = {
    image,
    write: (update, at, bytes) => update.write(offset + at, bytes),
  };
  return { kind: 'extents', size, extents: [{ kind: 'image', image, offset, length: size }], writer };
}

/** Every second element: bytes that have to be gathered and scattered. */
function everySecond(image: Image): RenderedContent {
  const { offset, size, second } = FACTS.room;
  const { elementBytes, elements } = second;
  const stride = 2 * elementBytes;
  return {
    kind: 'rendered',
    size: elements * elementBytes,
    origin: { image, offset, length: size },
    read: async (at, length) => {
      const first = Math.floor(at / elementBytes);
      const last = Math.ceil((at + length) / elementBytes);
      const source = await image.read(offset + first * stride, (last - first - 1) * stride + elementBytes);
      const gathered = Buffer.alloc((last - first) * elementBytes);
      for (let index = 0; index < last - first; index++) {
        source.copy(gathered, index * elementBytes, index * stride, index * stride + elementBytes);
      }
      const skip = at - first * elementBytes;
      return gathered.subarray(skip, skip + length);
    },
    writer: {
      image,
      write: async (update, at, bytes) => {
        const start = Math.floor(at / elementBytes) * stride;
        const end = Math.ceil((at + bytes.byteLength) / elementBytes) * stride;
        const span = await update.read(offset + start, Math.min(end, size) - start);
        for (let index = 0; index < bytes.byteLength; index++) {
          const element = Math.floor((at + index) / elementBytes);
          span[element * stride - start + ((at + index) % elementBytes)] = bytes[index] as number;
        }
        await update.write(offset + start, span);
      },
    },
  };
}

function float32(text: string): Uint8Array | undefined {
  const value = Number(text);
  return Number.isNaN(value) ? undefined : new Uint8Array(Float32Array.of(value).buffer);
}

/** Lines of one width, so that the size is known without looking. */
function floatsAsText(image: Image): RenderedContent {
  const { offset, elements } = FACTS.room.floats;
  const width = 16;
  return {
    kind: 'rendered',
    size: elements * width,
    origin: { image, offset, length: elements * 4 },
    read: async (at, length) => {
      const bytes = await image.read(offset, elements * 4);
      const lines = Array.from({ length: elements }, (_, index) =>
        `${bytes.readFloatLE(index * 4).toPrecision(6)}\n`.padStart(width),
      );
      return Buffer.from(lines.join('')).subarray(at, at + length);
    },
  };
}

async function parseFloats(staged: ByteSource, update: ImageUpdate): Promise<void> {
  const { offset, elements } = FACTS.room.floats;
  const values = (await staged.read(0, staged.size)).toString().trim().split(/\s+/).map(Number);
  if (values.length !== elements || values.some(Number.isNaN)) {
    throw errno('EINVAL', `${values.length} numbers instead of ${elements}`);
  }
  await update.write(offset, new Uint8Array(Float32Array.from(values).buffer));
}
