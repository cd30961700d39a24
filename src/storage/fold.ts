import type { ChecksumPatch } from './checksums.ts';
import type { MediumFile } from './medium.ts';
import type { Piece } from './overlay.ts';

/** Bytes that are done, of all that there are to do. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

const SLICE_BYTES = 1024 * 1024;

/** Copies dirty ranges and checksums into a file. Doing it twice gives the same, which is what makes a commit repeatable. Does not sync. */
export async function foldInto(
  file: MediumFile,
  pieces: readonly Piece[],
  patches: readonly ChecksumPatch[],
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const total = pieces.reduce((sum, { start, end }) => sum + (end - start), 0);
  let done = 0;
  for (const piece of pieces) {
    for (let at = piece.start; at < piece.end; at += SLICE_BYTES) {
      const length = Math.min(SLICE_BYTES, piece.end - at);
      const bytes = await piece.file.read(piece.fileOffset + (at - piece.start), length);
      await file.write(at, [bytes]);
      done += length;
      onProgress({ done, total });
    }
  }
  for (const { offset, bytes } of patches) await file.write(offset, [bytes]);
}
