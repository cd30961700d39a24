/** Documents that MLFS itself writes into a mount. */
import type { Content } from '../storage/content.ts';
import { inSlices } from '../storage/in-slices.ts';
import type { FileDescription } from './inode-table.ts';
import { UnchangingDocument } from './unchanging-document.ts';

/** A small text that exists from the start. */
export function textFile(text: () => string): FileDescription {
  return { content: () => inlineContent(Buffer.from(text())) };
}

/**
 * A document that may have megabytes. It is made in slices at the first request for its size or the first open, and is dropped when memory is
 * needed. `write` must return the same bytes every time.
 */
export function documentFile(write: () => Generator<void, Uint8Array>): FileDescription {
  return { content: () => documentContent(write) };
}

export function documentContent(write: () => Generator<void, Uint8Array>): Content {
  return new UnchangingDocument(() => inSlices(write()));
}

export function inlineContent(bytes: Uint8Array): Content {
  return {
    kind: 'extents',
    size: bytes.byteLength,
    extents: bytes.byteLength === 0 ? [] : [{ kind: 'inline', bytes }],
  };
}
