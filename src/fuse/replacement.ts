import { errno } from '../errors.ts';
import type { FileInode } from '../inode.ts';
import type { ByteSource } from '../storage/byte-source.ts';
import type { ContentWriter, FixedContent, StoredContent } from '../storage/content.ts';
import type { Image, ImageUpdate } from '../storage/image.ts';
import { writeWhole } from '../storage/write-whole.ts';
import type { Coherence } from './coherence.ts';

/** Bytes that replace those of a file: a staged copy, or a scratch file that is renamed over it. */
export interface Staged {
  size(): number;
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** The text of a number is shorter: `-1.7976931348623157e+308` has 24 bytes. */
const FILL_TEXT_BYTES = 64;
/** Maximum part of a replacement in memory at a time. */
const SLICE_BYTES = 1024 * 1024;

/** Whether this many bytes can be a number that fills a tensor. */
export function isFillText(size: number): boolean {
  return size <= FILL_TEXT_BYTES;
}

/** Where writes to a file of fixed size go; undefined if it cannot be written. */
export function writerOf({ content }: FileInode): ContentWriter | undefined {
  return content.kind === 'extents' || content.kind === 'rendered' ? content.writer : undefined;
}

/** The image that a replacement of the file changes; undefined if it cannot be replaced. */
export function replacedImage(inode: FileInode): Image | undefined {
  const writer = writerOf(inode);
  if (writer !== undefined || inode.replace === undefined) return writer?.image;
  const { content } = inode;
  if (content.kind === 'snapshot') return content.source?.writer?.image;
  return content.kind === 'rendered' ? content.origin?.image : undefined;
}

/**
 * Replaces the bytes of a file with staged bytes, in one step. Staged bytes of the file's size replace them as they are. A short text that is
 * one number of the tensor's dtype fills the tensor. A file that parses its own replacement does so. Throws EINVAL, with the reason, for
 * anything else.
 */
export async function replaceContent(inode: FileInode, staged: Staged, coherence: Coherence): Promise<void> {
  const { content, replace } = inode;
  if (content.kind === 'stored') return copyInto(content, staged);
  const image = replacedImage(inode);
  if (image === undefined) throw errno('EPERM', 'the file cannot be replaced');
  if (replace !== undefined) {
    return coherence.replace(inode, image, (update) => replace(sourceOf(staged), update));
  }
  if (content.kind !== 'extents' && content.kind !== 'rendered') throw errno('EPERM');
  const { size } = content;
  if (staged.size() === size) {
    return coherence.replace(inode, image, (update) =>
      writeWhole(content, update, (offset, length) => staged.read(offset, length)),
    );
  }
  const element = isFillText(staged.size()) ? await numberOf(inode, staged) : undefined;
  if (element === undefined) {
    throw errno('EINVAL', `${staged.size()} bytes are neither the ${size} of the file nor one number`);
  }
  return coherence.replace(inode, image, (update) => fill(element, content, update));
}

async function copyInto(content: StoredContent, staged: Staged): Promise<void> {
  const size = staged.size();
  if (size > content.maxSize)
    throw errno('EFBIG', `${size} bytes are more than the ${content.maxSize} it may have`);
  await content.truncate(0);
  for (let at = 0; at < size; at += SLICE_BYTES) {
    await content.write(at, await staged.read(at, Math.min(SLICE_BYTES, size - at)));
  }
}

async function numberOf(inode: FileInode, staged: Staged): Promise<Uint8Array | undefined> {
  const text = Buffer.from(await staged.read(0, staged.size()))
    .toString('latin1')
    .trim();
  return text === '' ? undefined : inode.element?.(text);
}

async function fill(element: Uint8Array, content: FixedContent, update: ImageUpdate): Promise<void> {
  let slice = Buffer.alloc(0);
  await writeWhole(content, update, (_offset, length) => {
    // Slices are whole elements.
    if (slice.length < length) slice = Buffer.alloc(length).fill(element);
    return slice.subarray(0, length);
  });
}

function sourceOf(staged: Staged): ByteSource {
  return {
    path: 'the staged replacement',
    size: staged.size(),
    read: async (offset, length) => Buffer.from(await staged.read(offset, length)),
  };
}
