/**
 * Keeps the journal small and the overlay cheap. Compaction rewrites the live records when most of the journal is superseded, and drops the
 * old segments. Defragmentation joins pieces of a chunk that lie near each other. Neither changes a byte of the image.
 */
import type { FileStructure } from './file-structure.ts';
import type { Image } from './image.ts';
import type { AppendOptions, Journal } from './journal/journal.ts';
import type { Mutex } from './mutex.ts';
import type { DirtyRange, Piece, Placement } from './overlay.ts';

/** A journal smaller than this is not compacted. */
const COMPACT_FROM_BYTES = 64 * 1024 * 1024;
/** A chunk with more pieces than this is defragmented: on average they lie within 512 bytes of each other. */
const FRAGMENTED_PIECES = 2048;
/** Maximum gap between two pieces that are joined; no chunk keeps more than half as many pieces. */
const JOINED_GAP_BYTES = 1024;

export interface CompactionOptions {
  readonly journal: Journal;
  readonly image: Image;
  readonly structure: FileStructure;
  readonly limitBytes: number;
  /** Runs one update at a time. */
  readonly updates: Mutex;
  /** Runs one commit, discard or compaction at a time. */
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

  /** Resolves when a running or waiting compaction is over. */
  async finished(): Promise<void> {
    await this.#running;
  }

  /** Begins to rewrite the live records when most of the journal is superseded. */
  startWhenWorth(): void {
    const { journal, image, decisions, limitBytes } = this.#options;
    const { bytes } = journal.counters;
    const from = Math.min(COMPACT_FROM_BYTES, limitBytes / 2);
    if (this.#running !== undefined || bytes < from || image.overlay.bytes * 2 > bytes) return;
    this.#running = decisions
      .run(() => this.#compact())
      // No room to compact, or a failing medium: the next update reports it to its caller.
      .catch(() => undefined)
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** After the updates before, joins the pieces of chunks that have too many: the cost of a change grows with the pieces of its chunk. */
  defragment(chunks: Iterable<number>): void {
    for (const index of chunks) {
      if (!this.#isFragmented(index)) continue;
      // The next update reports a failing medium.
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
    // Pieces of many small tensors stay apart: rewriting them with every change would cost more than keeping them.
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

  /** Journals ranges again, unchanged. A chunk has 1 MiB at most. */
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

/** Ranges of ascending pieces, where pieces with joinable bytes between them become one. */
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
