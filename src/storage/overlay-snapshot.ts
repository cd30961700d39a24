import type { DirtyRange, Overlay, Piece } from './overlay.ts';

/**
 * The pieces of an overlay at one moment, whatever happens to it afterwards. Taking it costs a step for each dirty chunk, not for each piece,
 * because the pieces of a chunk are never modified in place. There may be millions: go through them in parts.
 */
export class OverlaySnapshot {
  readonly #chunks: readonly (readonly Piece[])[];
  /** Number of dirty bytes. */
  readonly bytes: number;

  constructor(overlay: Overlay) {
    this.#chunks = overlay.chunkIndexes().map((index) => overlay.chunk(index));
    this.bytes = overlay.bytes;
  }

  /** Every piece, ascending. */
  *pieces(): Generator<Piece, void> {
    for (const chunk of this.#chunks) yield* chunk;
  }

  /** Collects the dirty ranges of at least this size, ascending, with adjacent pieces joined. For `inSlices`: a part for each chunk. */
  *ranges(leastBytes = 1): Generator<void, DirtyRange[]> {
    const ranges: DirtyRange[] = [];
    const add = (start: number, end: number) => {
      if (end - start >= leastBytes) ranges.push({ start, end });
    };
    let start = 0;
    let end = 0;
    for (const chunk of this.#chunks) {
      for (const piece of chunk) {
        if (piece.start !== end) {
          add(start, end);
          start = piece.start;
        }
        end = piece.end;
      }
      yield;
    }
    add(start, end);
    return ranges;
  }
}
