import type { FileInode, KnownInode } from '../inode.ts';

/**
 * Fills in what the content of a file says about it. Returns false if the file's size may change by itself, or is not known yet.
 */
export function describeContent(
  inode: FileInode,
  into: Omit<KnownInode, 'nodeid' | 'isDirectory' | 'nlink' | 'parent' | 'room'>,
): boolean {
  const { content } = inode;
  if (content.kind !== 'extents' && content.kind !== 'rendered') return false;
  if (content.layout !== undefined) return false;
  into.mode = inode.mode;
  into.size = content.size;
  into.image = undefined;
  into.offset = 0;
  // The data plane gets extents at the open.
  into.readable = content.kind === 'rendered' || content.size === 0;
  into.follows = true;
  into.hasXattrs = true;
  return true;
}
