import { nbytes, type Tensor } from '../checkpoint/tensor.ts';
import { storedAt } from '../checkpoint/tensor-content.ts';
import type { FileInode, InodeTree } from '../inode.ts';
import { type FileRanges, FileRangesBuilder } from '../kernel-view/file-ranges.ts';
import type { Content } from '../storage/content.ts';
import type { Image } from '../storage/image.ts';
import { TensorInode } from './tensor-files.ts';

/** Inodes between two yields. */
const SLICE = 256;

/** The files of a tree that are exactly one range of the image. Of tensors no content is made. Yields now and then. */
export function* oneRangeFiles(
  tree: InodeTree,
  firstNodeid: number,
  image: Image,
): Generator<void, FileRanges> {
  const ranges = new FileRangesBuilder();
  for (let nodeid = firstNodeid; nodeid < tree.nextNodeid; nodeid++) {
    const inode = tree.get(nodeid);
    if (inode?.kind === 'file') addRange(ranges, inode, image);
    if (nodeid % SLICE === 0) yield;
  }
  return ranges.finish();
}

function addRange(ranges: FileRangesBuilder, inode: FileInode, image: Image): void {
  if (inode instanceof TensorInode) {
    const offset = offsetIn(image, inode.tensor);
    if (offset !== undefined) ranges.add(inode.nodeid, offset, nbytes(inode.tensor));
    return;
  }
  const extent = onlyExtent(inode.content);
  if (extent?.kind === 'image' && extent.image === image) {
    ranges.add(inode.nodeid, extent.offset, extent.length);
  }
}

function offsetIn(image: Image, tensor: Tensor): number | undefined {
  const { bytes } = tensor.storage;
  return bytes.kind === 'extent' && bytes.image === image ? storedAt(tensor) : undefined;
}

function onlyExtent(content: Content) {
  if (content.kind !== 'extents' || content.layout?.done === false) return undefined;
  return content.extents.length === 1 ? content.extents[0] : undefined;
}
