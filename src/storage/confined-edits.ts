/**
 * The limits of what any journal may do to a checkpoint: change the bytes of storages, and the checksums that follow from them. Journal
 * records are untrusted; only the parsed file says which of its bytes these are.
 */
import { MlfsError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import type { ChecksumPatch, Checksums } from './checksums.ts';
import type { FileStructure } from './file-structure.ts';
import { inParallel } from './in-parallel.ts';
import type { Piece } from './overlay.ts';
import { type ComparedBase, type ComparedPiece, compareCrc32 } from './piece-runs.ts';

/** Number of pieces that are read at a time; each is 1 MiB at most. */
const PIECES_AT_ONCE = 16;

/**
 * The parts of the pieces that lie in storages. Bytes outside of them must equal those of the file: mlfs 0.1.0 joined neighbouring pieces
 * together with the bytes between them. Throws ERR_MLFS_RECOVERY for a piece that would change anything else.
 */
export async function confinePieces(
  pieces: Iterable<Piece>,
  file: Pick<ByteSource, 'read' | 'path' | 'size'>,
  { writable, checksums }: FileStructure,
): Promise<Piece[]> {
  const confined: Piece[] = [];
  const outside: Piece[] = [];
  for (const piece of pieces) {
    if (writable.contains(piece.start, piece.end)) {
      confined.push(piece);
      continue;
    }
    for (const { start, end, inside } of writable.parts(piece.start, piece.end)) {
      (inside ? confined : outside).push({
        ...piece,
        start,
        end,
        fileOffset: piece.fileOffset + (start - piece.start),
      });
    }
  }
  if (outside.length === 0) return confined;
  // An interrupted commit may have written these already.
  const fields = checksums.fieldsOf(confined);
  await inParallel(outside, PIECES_AT_ONCE, async ({ start, end, file: segment, fileOffset }) => {
    if (end > file.size) throw forbidden(file.path, start, end);
    const there = await file.read(start, end - start);
    const journalled = await segment.read(fileOffset, end - start);
    let field = -1;
    for (let at = 0; at < there.byteLength; at++) {
      if (fields.has(start + at)) field = start + at;
      const inField = field >= 0 && start + at < field + CHECKSUM_BYTES;
      if (there[at] !== journalled[at] && !inField) throw forbidden(file.path, start, end);
    }
  });
  return confined;
}

/** Throws ERR_MLFS_RECOVERY for a checksum that these confined pieces cannot change. */
export function refuseForeignPatches(
  patches: readonly ChecksumPatch[],
  pieces: readonly Piece[],
  path: string,
  { checksums }: FileStructure,
): void {
  const fields = checksums.fieldsOf(pieces);
  for (const { offset, bytes } of patches) {
    if (!fields.has(offset)) throw forbidden(path, offset, offset + bytes.byteLength);
  }
}

const CHECKSUM_BYTES = 4;

function forbidden(path: string, start: number, end: number): MlfsError {
  return new MlfsError(
    'ERR_MLFS_RECOVERY',
    `${path}: its journal would change bytes ${start} to ${end}, which belong to no tensor`,
    {
      path,
      advice: `No mount writes such a journal, and none of it was written to the file. To drop it: mlfs discard ${path}`,
    },
  );
}

/** Updates the checksums for pieces that lie in storages of the file. */
export async function followPieces(
  pieces: readonly Piece[],
  base: ComparedBase,
  checksums: Checksums,
): Promise<void> {
  const changes = new Map<number, number>();
  await compareCrc32(base, inCheckedRanges(pieces, checksums), ({ start, end }, difference) => {
    checksums.changeBy(changes, start, end - start, difference);
  });
  checksums.apply(changes);
}

/** Other pieces change no checksum. */
function* inCheckedRanges(pieces: readonly Piece[], checksums: Checksums): Generator<ComparedPiece, void> {
  for (const piece of pieces) {
    const group = checksums.innermostRange(piece.start);
    if (group < 0) continue;
    const { start, end, file, fileOffset, segment } = piece;
    yield { start, end, file, fileOffset, segment, group };
  }
}
