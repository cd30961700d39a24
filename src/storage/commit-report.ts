import { confinePieces, followPieces } from './confined-edits.ts';
import type { FileStructure } from './file-structure.ts';
import type { ImageBase } from './image.ts';
import { type DirtyRange, Overlay } from './overlay.ts';

/** What a commit or a discard did, or would do. */
export interface CommitReport {
  /** Dirty bytes and ranges that were (or would be) folded in. */
  readonly bytes: number;
  readonly ranges: number;
  /** Checksum fields that were rewritten. */
  readonly checksums: number;
  readonly milliseconds: number;
}

export function report(ranges: readonly DirtyRange[], checksums: number, startedMs: number): CommitReport {
  const bytes = ranges.reduce((sum, { start, end }) => sum + (end - start), 0);
  return { bytes, ranges: ranges.length, checksums, milliseconds: Date.now() - startedMs };
}

/** What a commit of these edits would do. Reads the bytes that it would replace, and changes nothing. Throws ERR_MLFS_RECOVERY. */
export async function previewCommit(
  base: ImageBase,
  structure: FileStructure,
  overlay: Overlay = new Overlay(),
): Promise<CommitReport> {
  const startedMs = Date.now();
  const pieces = await confinePieces(overlay.pieces(), base, structure);
  await followPieces(pieces, base, structure.checksums);
  return report([...overlay.ranges()], structure.checksums.patches().length, startedMs);
}
