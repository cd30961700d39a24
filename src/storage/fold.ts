import type { ChecksumPatch } from './checksums.ts';
import { inParallel } from './in-parallel.ts';
import type { MediumFile } from './medium.ts';
import type { Piece } from './overlay.ts';
import { copyPieces } from './piece-runs.ts';

/** Progress: bytes done and bytes in total. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

const PATCHES_AT_ONCE = 16;

/** Pieces, and the sum of their sizes. */
export interface FoldedPieces {
  readonly pieces: Iterable<Piece>;
  readonly bytes: number;
}

/** Copies dirty ranges and checksums into a file. Copying twice gives the same result, so a commit can be repeated. Does not sync. */
export async function foldInto(
  file: MediumFile,
  { pieces, bytes: total }: FoldedPieces,
  patches: readonly ChecksumPatch[],
  onProgress: (progress: Progress) => void,
): Promise<void> {
  let done = 0;
  await copyPieces(file, pieces, (bytes) => {
    done += bytes;
    onProgress({ done, total });
  });
  await inParallel(patches, PATCHES_AT_ONCE, ({ offset, bytes }) => file.write(offset, [bytes]));
}
