import type { InodeTree, KnownInode } from '../inode.ts';
import { type FileRanges, FileRangesBuilder } from '../kernel-view/file-ranges.ts';
import type { Image } from '../storage/image.ts';

/**
 * The files of a tree that are exactly one range of the image, by ascending nodeid. Of tensors neither objects nor contents are made. Yields now
 * and then.
 */
export function* oneRangeFiles(tree: InodeTree, image: Image): Generator<void, FileRanges> {
  const ranges = new FileRangesBuilder();
  yield* tree.known((inode) => {
    if (inode.image === image) ranges.add(inode.nodeid, inode.offset, inode.size);
    else if (isOfExtents(inode)) addOnlyExtent(ranges, tree, inode.nodeid, image);
  });
  return ranges.finish();
}

/** Storages that were saved by themselves, the exported checkpoint, tensors of several runs. */
function isOfExtents({ isDirectory, image, size, readable }: KnownInode): boolean {
  return !isDirectory && image === undefined && size > 0 && !readable;
}

function addOnlyExtent(ranges: FileRangesBuilder, tree: InodeTree, nodeid: number, image: Image): void {
  const inode = tree.get(nodeid);
  if (inode?.kind !== 'file' || inode.content.kind !== 'extents') return;
  const { extents } = inode.content;
  const [extent] = extents;
  if (extents.length === 1 && extent?.kind === 'image' && extent.image === image)
    ranges.add(nodeid, extent.offset, extent.length);
}
