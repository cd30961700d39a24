import type { ChecksumPatch } from './checksums.ts';
import { inParallel } from './in-parallel.ts';
import type { MediumFile } from './medium.ts';
import type { Piece } from './overlay.ts';

/** Bytes that are done, of all that there are to do. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

/** A piece lies in one chunk of the overlay: this many are 16 MiB in flight at most. */
const PIECES_AT_ONCE = 16;

/** Copies dirty ranges and checksums into a file. Doing it twice gives the same, which is what makes a commit repeatable. Does not sync. */
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
