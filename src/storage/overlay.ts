/**
 * Which bytes of an image are dirty, and where they are now: an interval map from the image's address space to places in the journal's
 * segments, exact to the byte.
 *
 * The map is cut into chunks of 1 MiB: a change replaces only the pieces of the chunks that it touches, and chunks are what is published to
 * the data plane. Invariants: the pieces of a chunk are sorted, do not overlap and lie inside it; an array of pieces is never modified once
 * it is in the map; `bytes` is the sum of all pieces.
 */
import type { MediumFile } from './medium.ts';
import { partitionPoint } from './partition-point.ts';

export const CHUNK_BYTES = 1024 * 1024;

/** Where journalled bytes lie. */
export interface Placement {
  readonly file: MediumFile;
  /** Offset of the first byte in `file`. */
  readonly fileOffset: number;
  /** Number of the journal segment that `file` is. */
  readonly segment: number;
}

/** A range and the place of its journalled bytes. */
export interface PlacedRange extends DirtyRange {
  readonly placement: Placement;
}

/** Bytes [start, end) of a journal segment that were moved to another file. */
export interface MovedBytes {
  readonly segment: number;
  readonly start: number;
  readonly end: number;
  readonly to: Placement;
}

/** Dirty bytes [start, end) of the image. */
export interface Piece extends Placement {
  readonly start: number;
  readonly end: number;
}

/** Bytes of the image, end excluded. */
export interface DirtyRange {
  readonly start: number;
  readonly end: number;
}

export class Overlay {
  readonly #chunks = new Map<number, readonly Piece[]>();
  #bytes = 0;
  #pieceCount = 0;

  /** Number of dirty bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  get pieceCount(): number {
    return this.#pieceCount;
  }

  get empty(): boolean {
    return this.#bytes === 0;
  }

  /** The pieces of the chunk that starts at `index * CHUNK_BYTES`. */
  chunk(index: number): readonly Piece[] {
    return this.#chunks.get(index) ?? NO_PIECES;
  }

  /** Indexes of the dirty chunks, ascending. */
  chunkIndexes(): number[] {
    return [...this.#chunks.keys()].sort((a, b) => a - b);
  }

  /** Every piece, ascending. */
  *pieces(): Iterable<Piece> {
    for (const index of this.chunkIndexes()) yield* this.chunk(index);
  }

  /** The dirty ranges, ascending; adjacent ones are joined. */
  *ranges(): Iterable<DirtyRange> {
    let start = -1;
    let end = -1;
    for (const piece of this.pieces()) {
      if (piece.start !== end) {
        if (end > start) yield { start, end };
        start = piece.start;
      }
      end = piece.end;
    }
    if (end > start) yield { start, end };
  }

  /** The pieces within [start, end), cut at both ends, ascending. */
  within(start: number, end: number): Piece[] {
    const found: Piece[] = [];
    for (let index = Math.floor(start / CHUNK_BYTES); index * CHUNK_BYTES < end; index++) {
      const pieces = this.#chunks.get(index);
      if (pieces === undefined) continue;
      for (let at = firstEndingAfter(pieces, start); at < pieces.length; at++) {
        const piece = pieces[at] as Piece;
        if (piece.start >= end) break;
        found.push(cut(piece, Math.max(start, piece.start), Math.min(end, piece.end)));
      }
    }
    return found;
  }

  /** Whether any byte of [start, end) is dirty. Fast for long ranges of a clean image. */
  touches(start: number, end: number): boolean {
    if (this.empty) return false;
    const first = Math.floor(start / CHUNK_BYTES);
    const last = Math.floor((end - 1) / CHUNK_BYTES);
    if (last - first > this.#chunks.size) {
      return [...this.#chunks.keys()].some(
        (index) => index >= first && index <= last && this.#touchesChunk(index, start, end),
      );
    }
    for (let index = first; index <= last; index++) if (this.#touchesChunk(index, start, end)) return true;
    return false;
  }

  #touchesChunk(index: number, start: number, end: number): boolean {
    const pieces = this.chunk(index);
    const piece = pieces[firstEndingAfter(pieces, start)];
    return piece !== undefined && piece.start < end;
  }

  /** Makes ranges dirty, one after the other: where two overlap, the later one counts. Adds the chunks that changed to `changed`. */
  setAll(placed: readonly PlacedRange[], changed: Set<number>): void {
    const byChunk = new Map<number, Piece[]>();
    for (const { start, end, placement } of placed) {
      for (let index = Math.floor(start / CHUNK_BYTES); index * CHUNK_BYTES < end; index++) {
        const from = Math.max(start, index * CHUNK_BYTES);
        const to = Math.min(end, (index + 1) * CHUNK_BYTES);
        const { file, fileOffset, segment } = placement;
        const piece = { start: from, end: to, file, fileOffset: fileOffset + (from - start), segment };
        const pieces = byChunk.get(index);
        if (pieces === undefined) byChunk.set(index, [piece]);
        else pieces.push(piece);
      }
    }
    for (const [index, added] of byChunk) {
      const before = this.chunk(index);
      const sorted = inOrder(added) ? added : added.toSorted((a, b) => a.start - b.start);
      const after = laidOver(before, inOrder(sorted) ? sorted : lastOfEach(added));
      this.#chunks.set(index, after);
      this.#pieceCount += after.length - before.length;
      this.#bytes += lengthOf(after) - lengthOf(before);
      changed.add(index);
    }
  }

  /** Makes [start, start + length) dirty. */
  set(start: number, length: number, placement: Placement, changed: Set<number>): void {
    this.setAll([{ start, end: start + length, placement }], changed);
  }

  /** Updates places after bytes were moved. */
  move(moved: readonly MovedBytes[], changed: Set<number>): void {
    for (const [index, pieces] of this.#chunks) {
      const now = pieces.map((piece) => movedPlacement(piece, piece.end - piece.start, moved));
      if (now.every((piece, at) => piece === pieces[at])) continue;
      this.#chunks.set(index, now);
      changed.add(index);
    }
  }

  /** Removes the pieces that lie in segments up to `segment`: they are in the base now. */
  dropThrough(segment: number, changed: Set<number>): void {
    for (const [index, pieces] of this.#chunks) {
      const kept = pieces.filter((piece) => piece.segment > segment);
      if (kept.length === pieces.length) continue;
      for (const piece of pieces) if (piece.segment <= segment) this.#bytes -= piece.end - piece.start;
      if (kept.length === 0) this.#chunks.delete(index);
      else this.#chunks.set(index, kept);
      this.#pieceCount += kept.length - pieces.length;
      changed.add(index);
    }
  }
}

/** Where `length` bytes are after a move; returns the same object when they were not moved. */
export function movedPlacement<T extends Placement>(
  placed: T,
  length: number,
  moved: readonly MovedBytes[],
): T {
  const move = moved.find(
    ({ segment, start, end }) =>
      placed.segment === segment && placed.fileOffset >= start && placed.fileOffset + length <= end,
  );
  if (move === undefined) return placed;
  return { ...placed, ...move.to, fileOffset: move.to.fileOffset + (placed.fileOffset - move.start) };
}

const NO_PIECES: readonly Piece[] = [];

/** Index of the first piece that ends after `position`. */
function firstEndingAfter(pieces: readonly Piece[], position: number): number {
  return partitionPoint(pieces.length, (index) => (pieces[index] as Piece).end > position);
}

function cut(piece: Piece, start: number, end: number): Piece {
  if (start === piece.start && end === piece.end) return piece;
  return { ...piece, start, end, fileOffset: piece.fileOffset + (start - piece.start) };
}

function lengthOf(pieces: readonly Piece[]): number {
  let bytes = 0;
  for (const { start, end } of pieces) bytes += end - start;
  return bytes;
}

/** Whether the pieces are ascending and do not overlap. */
function inOrder(pieces: readonly Piece[]): boolean {
  return pieces.every((piece, index) => index === 0 || (pieces[index - 1] as Piece).end <= piece.start);
}

/**
 * The result of laying each piece over those before it: ascending pieces that do not overlap. Going from the last piece to the first, each
 * takes what no later piece took. The cost is that of sorting, however the pieces overlap.
 */
function lastOfEach(pieces: readonly Piece[]): readonly Piece[] {
  const bounds = [...new Set(pieces.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  const indexes = new Map(bounds.map((bound, index) => [bound, index]));
  const owners: (Piece | undefined)[] = new Array(bounds.length);
  /** The first free interval from here on; the path is shortened as it is followed. */
  const free = Int32Array.from(bounds.keys());
  const firstFree = (from: number): number => {
    let at = from;
    while (free[at] !== at) {
      free[at] = free[free[at] as number] as number;
      at = free[at] as number;
    }
    return at;
  };
  for (const piece of pieces.toReversed()) {
    const end = indexes.get(piece.end) as number;
    for (let at = firstFree(indexes.get(piece.start) as number); at < end; at = firstFree(at)) {
      owners[at] = piece;
      free[at] = at + 1;
    }
  }
  const result: Piece[] = [];
  for (let at = 0; at < owners.length; ) {
    const owner = owners[at];
    const start = bounds[at++] as number;
    if (owner === undefined) continue;
    while (owners[at] === owner) at++;
    result.push(cut(owner, start, bounds[at] as number));
  }
  return result;
}

/** The result of laying `above` over `below`, both sorted. Neighbours that are adjacent in the journal, too, become one. */
function laidOver(below: readonly Piece[], above: readonly Piece[]): readonly Piece[] {
  const result: Piece[] = [];
  const push = (piece: Piece) => {
    const last = result.at(-1);
    if (last !== undefined && continues(last, piece)) result[result.length - 1] = { ...last, end: piece.end };
    else result.push(piece);
  };
  let next = 0;
  /** Where the uncovered part of below[next] begins. */
  let from = below[0]?.start ?? 0;
  const advance = () => {
    next++;
    from = below[next]?.start ?? 0;
  };
  for (const piece of above) {
    for (let old = below[next]; old !== undefined && old.end <= piece.start; old = below[next]) {
      push(cut(old, from, old.end));
      advance();
    }
    const met = below[next];
    if (met !== undefined && from < piece.start) push(cut(met, from, piece.start));
    push(piece);
    for (let old = below[next]; old !== undefined && old.end <= piece.end; old = below[next]) advance();
    from = Math.max(from, piece.end);
  }
  for (let old = below[next]; old !== undefined; old = below[next]) {
    push(cut(old, Math.max(from, old.start), old.end));
    advance();
  }
  return result;
}

function continues(before: Piece, after: Piece): boolean {
  return (
    before.end === after.start &&
    before.file === after.file &&
    before.fileOffset + (before.end - before.start) === after.fileOffset
  );
}
