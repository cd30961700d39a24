import type { ChecksumPatch } from './checksums.ts';
import { inParallel } from './in-parallel.ts';
import type { MediumFile } from './medium.ts';
import type { Piece } from './overlay.ts';

/** Progress: bytes done and bytes in total. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

/** Pieces in flight. A piece lies in one chunk of the overlay, so this is 16 MiB at most. */
const PIECES_AT_ONCE = 16;

/** Copies dirty ranges and checksums into a file. Copying twice gives the same result, so a commit can be repeated. Does not sync. */
export async function foldInto(
  file: MediumFile,
  pieces: readonly Piece[],
  patches: readonly ChecksumPatch[],
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const total = pieces.reduce((sum, { start, end }) => sum + (end - start), 0);
  let done = 0;
  await inParallel(pieces, PIECES_AT_ONCE, async (piece) => {
    const length = piece.end - piece.start;
    await file.write(piece.start, [await piece.file.read(piece.fileOffset, length)]);
    done += length;
    onProgress({ done, total });
  });
  await inParallel(patches, PIECES_AT_ONCE, ({ offset, bytes }) => file.write(offset, [bytes]));
}
