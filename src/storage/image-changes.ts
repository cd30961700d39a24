import type { ChecksumChanges, Checksums } from './checksums.ts';
import { differingRuns } from './differing-runs.ts';
import type { Image, ImageChange, ImageUpdate } from './image.ts';
import type { Journal, JournalBatch, JournalWrite } from './journal/journal.ts';
import {
  type DirtyRange,
  type MovedBytes,
  movedPlacement,
  Overlay,
  type PlacedRange,
  type Placement,
} from './overlay.ts';

/**
 * Equal bytes between two differing runs are journalled with them up to the size of a record's header, which a separate record would cost.
 */
const GAP_BYTES = 40;

/**
 * One running update of an image: compares, journals what differs, and remembers its place until it is published. Until then no reader sees
 * any of it.
 */
export class ImageChanges implements ImageUpdate {
  readonly #image: Image;
  readonly #checksums: Checksums;
  /** The journal, called at the first difference; makes the state directory if necessary. */
  readonly #journal: () => Promise<Journal>;
  readonly #atomic: boolean;
  #placed: PlacedRange[] = [];
  /** The same for what this update itself reads: the first `#shown` placements. Most updates are a single write. */
  readonly #pending = new Overlay();
  #shown = 0;
  readonly #checksumChanges: ChecksumChanges = new Map();
  #batch: JournalBatch | undefined;

  constructor(image: Image, checksums: Checksums, journal: () => Promise<Journal>, atomic: boolean) {
    this.#image = image;
    this.#checksums = checksums;
    this.#journal = journal;
    this.#atomic = atomic;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const bytes = await this.#image.read(offset, length);
    if (this.#shown < this.#placed.length) {
      this.#pending.setAll(this.#placed.slice(this.#shown), new Set());
      this.#shown = this.#placed.length;
    }
    for (const { start, end, file, fileOffset } of this.#pending.within(offset, offset + length)) {
      bytes.set(await file.read(fileOffset, end - start), start - offset);
    }
    return bytes;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const before = await this.read(offset, bytes.byteLength);
    const runs = differingRuns(before, bytes, GAP_BYTES);
    if (runs.length === 0) return;
    const journal = await this.#journal();
    if (this.#atomic) this.#batch ??= journal.beginBatch();
    const writes: JournalWrite[] = runs.map(({ start, end }) => ({
      offset: offset + start,
      bytes: bytes.subarray(start, end),
    }));
    const placements = await journal.append(writes, this.#batch);
    runs.forEach(({ start, end }, index) => {
      const placement = placements[index] as Placement;
      this.#placed.push({ start: offset + start, end: offset + end, placement });
      const changes = this.#checksumChanges;
      this.#checksums.change(
        changes,
        offset + start,
        before.subarray(start, end),
        bytes.subarray(start, end),
      );
    });
  }

  /** Makes an atomic update count at replay. */
  async finish(): Promise<void> {
    if (this.#batch !== undefined) await (await this.#journal()).endBatch(this.#batch);
  }

  /** After a failed atomic update, frees the space of its records. Even if that fails, they do not count. */
  async withdraw(): Promise<void> {
    if (this.#batch === undefined) return;
    const journal = await this.#journal();
    await journal.withdraw(this.#batch).catch(() => undefined);
  }

  /** Journalled bytes were moved. */
  move(moved: readonly MovedBytes[]): void {
    this.#pending.move(moved, new Set());
    this.#placed = this.#placed.map(({ start, end, placement }) => ({
      start,
      end,
      placement: movedPlacement(placement, end - start, moved),
    }));
  }

  /**
   * Switches the overlay and returns the change, which the caller must pass to the image's listeners at once. Undefined when nothing
   * differed.
   */
  publish(): ImageChange | undefined {
    const placed = this.#placed;
    this.#placed = [];
    if (placed.length === 0) return undefined;
    const chunks = new Set<number>();
    this.#image.overlay.setAll(placed, chunks);
    this.#checksums.apply(this.#checksumChanges);
    return { ranges: mergedRanges(placed), chunks };
  }
}

/** The ranges ascending, with overlapping and adjacent ones joined. */
export function mergedRanges(ranges: readonly DirtyRange[]): DirtyRange[] {
  const result: DirtyRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const last = result.at(-1);
    if (last !== undefined && range.start <= last.end) {
      result[result.length - 1] = { start: last.start, end: Math.max(last.end, range.end) };
    } else {
      result.push({ start: range.start, end: range.end });
    }
  }
  return result;
}
