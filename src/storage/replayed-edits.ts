/**
 * What the records of a journal add up to: the uncommitted edits, and those of a decided commit that may be unfinished. Recovery, `status`
 * and `inspectJournal` all replay with this visitor, so they see the same edits.
 *
 * Time and memory stay proportional to the journal, whatever its records are: writes are collected for each chunk and merged when there are
 * as many as the chunk has pieces. A journal with too many pieces is refused.
 */
import { MlfsError } from '../errors.ts';
import type { JournalVisitor } from './journal/replay.ts';
import { CHUNK_BYTES, Overlay, type PlacedRange, type Placement } from './overlay.ts';

/** Some 800 MB of objects. Mounts join neighbouring pieces, and so stay far below it. */
const MAX_PIECES = 8 * 1024 * 1024;
/** Writes of a chunk are collected up to at least this number before they are merged. */
const COLLECTED = 64;

export class ReplayedEdits implements JournalVisitor {
  readonly #path: string;
  readonly #maxPieces: number;
  #decided: { readonly note: string; readonly segment: number; readonly writes: CollectedWrites } | undefined;
  #writes = new CollectedWrites();
  #writesTotal = 0;

  /** `path`: the journal's path, for the message. */
  constructor(path: string, maxPieces: number = MAX_PIECES) {
    this.#path = path;
    this.#maxPieces = maxPieces;
  }

  /** Number of writes that count: those before a discard do not. */
  get writesTotal(): number {
    return this.#writesTotal;
  }

  write(offset: number, length: number, placement: Placement): void {
    this.#writesTotal++;
    if (length === 0) return;
    if (!Number.isSafeInteger(offset + length))
      throw this.#refusal(`a record at byte ${offset}, where no file has bytes`);
    this.#writes.add({ start: offset, end: offset + length, placement });
    this.#refuseTooMany();
  }

  commit(note: string, segment: number): void {
    const writes = this.#decided?.writes ?? new CollectedWrites();
    for (const piece of this.#writes.finished().pieces()) {
      writes.add({ start: piece.start, end: piece.end, placement: piece });
    }
    this.#writes = new CollectedWrites();
    this.#decided = { note, segment, writes };
  }

  discard(): void {
    this.#decided = undefined;
    this.#writes = new CollectedWrites();
    this.#writesTotal = 0;
  }

  /** The commit that was decided last, with everything that was written before it. */
  get decided(): { readonly note: string; readonly segment: number; readonly overlay: Overlay } | undefined {
    if (this.#decided === undefined) return undefined;
    const { note, segment, writes } = this.#decided;
    return { note, segment, overlay: writes.finished() };
  }

  /** What was written and not committed. */
  get uncommitted(): Overlay {
    return this.#writes.finished();
  }

  /** Every edit that the base may lack: those of a decided commit, and over them those made after it. */
  all(): Overlay {
    const all = new Overlay();
    for (const overlay of [this.decided?.overlay, this.uncommitted]) {
      const pieces = [...(overlay?.pieces() ?? [])];
      all.setAll(
        pieces.map((piece) => ({ start: piece.start, end: piece.end, placement: piece })),
        new Set(),
      );
    }
    return all;
  }

  #refuseTooMany(): void {
    const pieces = this.#writes.pieceCount + (this.#decided?.writes.pieceCount ?? 0);
    if (pieces > this.#maxPieces) throw this.#refusal(`edits in more than ${this.#maxPieces} pieces`);
  }

  #refusal(what: string): MlfsError {
    return new MlfsError('ERR_MLFS_RECOVERY', `${this.#path}: has ${what}`, {
      path: this.#path,
      advice: 'No mount writes such a journal. Restore it from a copy, or drop its edits: mlfs discard.',
    });
  }
}

/** Writes in the order in which they happened, and the overlay that they make. */
class CollectedWrites {
  readonly #overlay = new Overlay();
  readonly #waiting = new Map<number, PlacedRange[]>();
  #waitingCount = 0;

  /** An upper bound: waiting writes may overlap. */
  get pieceCount(): number {
    return this.#overlay.pieceCount + this.#waitingCount;
  }

  add({ start, end, placement }: PlacedRange): void {
    for (let from = start; from < end; ) {
      const index = Math.floor(from / CHUNK_BYTES);
      const to = Math.min(end, (index + 1) * CHUNK_BYTES);
      const part = { ...placement, fileOffset: placement.fileOffset + (from - start) };
      const waiting = this.#waiting.get(index) ?? [];
      this.#waiting.set(index, waiting);
      waiting.push({ start: from, end: to, placement: part });
      this.#waitingCount++;
      if (waiting.length > Math.max(COLLECTED, this.#overlay.chunk(index).length))
        this.#layOver(index, waiting);
      from = to;
    }
  }

  finished(): Overlay {
    for (const [index, waiting] of this.#waiting) this.#layOver(index, waiting);
    return this.#overlay;
  }

  #layOver(index: number, waiting: readonly PlacedRange[]): void {
    this.#waiting.delete(index);
    this.#waitingCount -= waiting.length;
    this.#overlay.setAll(waiting, new Set());
  }
}
