import type { FixedContent } from './content.ts';
import { extentLength } from './extent.ts';
import type { FileRun } from './file-run.ts';

/** Where a range of a content lies in the checkpoint file; undefined unless it is a single run without edits. */
export function contentRun(content: FixedContent, offset: number, length: number): FileRun | undefined {
  if (content.kind !== 'extents' || content.extents.length !== 1) return undefined;
  const [extent] = content.extents;
  if (extent?.kind !== 'image' || offset + length > extentLength(extent)) return undefined;
  const { image } = extent;
  const start = extent.offset + offset;
  const { fd } = image.base;
  if (fd === undefined || image.overlay.touches(start, start + length)) return undefined;
  return { fd, offset: start, length };
}
