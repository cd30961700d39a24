import type { InodeTree } from '../inode.ts';
import { type FileRanges, FileRangesBuilder } from '../kernel-view/file-ranges.ts';
import type { Content } from '../storage/content.ts';
import type { Image } from '../storage/image.ts';
import { TensorInode } from './tensor-files.ts';

/** Inodes between two yields. */
const SLICE = 256;

/**
 * The files of a tree that are exactly one range of the image. Nothing is made for that: a file is such a range if the tree knows so, or if its
 * object is there and says so. Yields now and then.
 */
export function* oneRangeFiles(
  tree: InodeTree,
  firstNodeid: number,
  image: Image,
): Generator<void, FileRanges> {
  const ranges = new FileRangesBuilder();
  let next = firstNodeid;
  function* addObjectsBefore(nodeid: number): Generator<void> {
    for (; next < nodeid; next++) {
      addObject(ranges, tree, next, image);
      if (next % SLICE === 0) yield;
    }
  }
  const found: { nodeid: number; offset: number; size: number }[] = [];
  const known = tree.known(({ nodeid, image: of, offset, size }) => {
    if (of === image) found.push({ nodeid, offset, size });
  });
  for (let done = false; !done; ) {
    done = known.next().done === true;
    for (const { nodeid, offset, size } of found.splice(0)) {
      yield* addObjectsBefore(nodeid);
      ranges.add(nodeid, offset, size);
      next = nodeid + 1;
    }
    yield;
  }
  yield* addObjectsBefore(tree.nextNodeid);
  return ranges.finish();
}

/** Tensors that are one range are known without their objects. */
function addObject(ranges: FileRangesBuilder, tree: InodeTree, nodeid: number, image: Image): void {
  const inode = tree.made(nodeid);
  if (inode?.kind !== 'file' || inode instanceof TensorInode) return;
  const extent = onlyExtent(inode.content);
  if (extent?.kind === 'image' && extent.image === image) ranges.add(nodeid, extent.offset, extent.length);
}

function onlyExtent(content: Content) {
  if (content.kind !== 'extents' || content.layout?.done === false) return undefined;
  return content.extents.length === 1 ? content.extents[0] : undefined;
}
