/**
 * Keeps the journal small and the overlay cheap. Compaction rewrites what is live when most of the journal is superseded, and drops the old
 * segments; defragmentation joins the pieces of a chunk that lie near each other. Neither changes a byte of the image.
 */
import type { FileStructure } from './file-structure.ts';
import type { Image } from './image.ts';
import type { AppendOptions, Journal } from './journal/journal.ts';
import type { Mutex } from './mutex.ts';
import type { DirtyRange, Piece, Placement } from './overlay.ts';

/** Below this the journal is not worth compacting. */
const COMPACT_FROM_BYTES = 64 * 1024 * 1024;
/** A chunk with more pieces than this is defragmented: on average they lie within 512 bytes of each other. */
const FRAGMENTED_PIECES = 2048;
/** What may lie between two pieces that become one: no chunk has more than half as many pieces afterwards. */
const JOINED_GAP_BYTES = 1024;

export interface CompactionOptions {
  readonly journal: Journal;
  readonly image: Image;
  readonly structure: FileStructure;
  readonly limitBytes: number;
  /** One update at a time. */
  readonly updates: Mutex;
  /** One commit, discard or compaction at a time. */
  readonly decisions: Mutex;
  /** Whether the journal is closed. */
  readonly ended: () => boolean;
  /** A commit that was decided and not carried out needs its segments. */
  readonly commitPending: () => boolean;
}

export class Compaction {
  readonly #options: CompactionOptions;
  #running: Promise<void> | undefined;

  constructor(options: CompactionOptions) {
    this.#options = options;
  }

  /** Resolves when a compaction that is running or waiting is over. */
  async finished(): Promise<void> {
    await this.#running;
  }

  /** Begins to rewrite what is live when most of the journal is superseded. */
  startWhenWorth(): void {
    const { journal, image, decisions, limitBytes } = this.#options;
    const { bytes } = journal.counters;
    const from = Math.min(COMPACT_FROM_BYTES, limitBytes / 2);
    if (this.#running !== undefined || bytes < from || image.overlay.bytes * 2 > bytes) return;
    this.#running = decisions
      .run(() => this.#compact())
      // No room to compact, or a medium that fails: the next update says so to whom it concerns.
      .catch(() => undefined)
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** Joins, after the updates before, the pieces of chunks that have too many: each change of a chunk costs as much as it has pieces. */
  defragment(chunks: Iterable<number>): void {
    for (const index of chunks) {
      if (!this.#isFragmented(index)) continue;
      // A medium that fails says so to the next update.
      this.#options.updates.run(() => this.#defragment(index)).catch(() => undefined);
    }
  }

  #isFragmented(index: number): boolean {
    return this.#options.image.overlay.chunk(index).length > FRAGMENTED_PIECES;
  }

  async #defragment(index: number): Promise<void> {
    const { image, structure, ended } = this.#options;
    if (ended() || !this.#isFragmented(index)) return;
    const joinable = (start: number, end: number) =>
      end - start <= JOINED_GAP_BYTES && structure.writable.contains(start, end);
    const pieces = image.overlay.chunk(index);
    const ranges = joined(pieces, joinable);
    // Pieces of many small tensors stay apart: to rewrite them with every change would be worse than to have them.
    if (ranges.length * 2 <= pieces.length) await this.#rewrite(ranges);
  }

  async #compact(): Promise<void> {
    const { journal, image, updates, ended, commitPending } = this.#options;
    if (ended() || commitPending()) return;
    const segment = await updates.run(() => journal.rotate());
    const old = (piece: Piece) => piece.segment <= segment;
    for (const index of image.overlay.chunkIndexes()) {
      await updates.run(async () => {
        const pieces = image.overlay.chunk(index).filter(old);
        if (pieces.length > 0) await this.#rewrite(pieces, { beyondLimit: true });
      });
    }
    await journal.sync();
    await updates.run(() => journal.dropThrough(segment));
  }

  /** Journals ranges once more, as they are. A chunk has 1 MiB at most. */
  async #rewrite(ranges: readonly DirtyRange[], options: AppendOptions = {}): Promise<void> {
    const { journal, image } = this.#options;
    const writes = await Promise.all(
      ranges.map(async ({ start, end }) => ({ offset: start, bytes: await image.read(start, end - start) })),
    );
    const placements = await journal.append(writes, undefined, options);
    const chunks = new Set<number>();
    image.overlay.setAll(
      ranges.map(({ start, end }, index) => ({ start, end, placement: placements[index] as Placement })),
      chunks,
    );
    image.changed({ ranges: [], chunks });
  }
}

/** Ranges of ascending pieces, those between which the bytes are joinable as one. */
function joined(
  pieces: readonly DirtyRange[],
  joinable: (start: number, end: number) => boolean,
): DirtyRange[] {
  const ranges: DirtyRange[] = [];
  for (const { start, end } of pieces) {
    const last = ranges.at(-1);
    if (last !== undefined && joinable(last.end, start))
      ranges[ranges.length - 1] = { start: last.start, end };
    else ranges.push({ start, end });
  }
  return ranges;
}
