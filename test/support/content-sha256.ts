import { createHash } from 'node:crypto';
import type { Content } from '../../src/storage/content.ts';
import { readExtents } from '../../src/storage/read-extents.ts';

const WINDOW_BYTES = 1024 * 1024;

/** SHA-256, in hexadecimal, of a content of a fixed size, read window by window. */
export async function contentSha256(content: Content): Promise<string> {
  if (content.kind !== 'extents' && content.kind !== 'rendered')
    throw new Error(`${content.kind} has no size`);
  const hash = createHash('sha256');
  for (let offset = 0; offset < content.size; offset += WINDOW_BYTES) {
    const length = Math.min(WINDOW_BYTES, content.size - offset);
    hash.update(
      content.kind === 'extents'
        ? await readExtents(content.extents, offset, length)
        : await content.read(offset, length),
    );
  }
  return hash.digest('hex');
}
