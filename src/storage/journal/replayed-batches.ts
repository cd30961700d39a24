import type { Placement } from '../overlay.ts';
import { damaged } from './open-segments.ts';

/** A write of a batch, which counts only with the batch's end. */
export interface BatchPart {
  readonly offset: number;
  readonly length: number;
  readonly placement: Placement;
}

/** Parts of batches that wait for their ends, some 800 MB: a replaced tensor of 1 TiB has a million. */
const MAX_WAITING_PARTS = 8 * 1024 * 1024;

/** The batches of a replayed journal whose ends have not come yet. */
export class ReplayedBatches {
  readonly #directory: string;
  readonly #parts = new Map<number, BatchPart[]>();
  #waiting = 0;

  /** `directory`: of the journal, for messages. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** `path`: of the segment that has the record. Throws ERR_MLFS_RECOVERY when too many are waiting. */
  add(batch: number, part: BatchPart, path: string): void {
    const parts = this.#parts.get(batch) ?? [];
    this.#parts.set(batch, parts);
    parts.push(part);
    this.#waiting++;
    if (this.#waiting <= MAX_WAITING_PARTS) return;
    throw damaged(
      this.#directory,
      path,
      `has more than ${MAX_WAITING_PARTS} records that wait for their end`,
    );
  }

  /** The writes of a batch that is whole. */
  end(batch: number): readonly BatchPart[] {
    const parts = this.#parts.get(batch) ?? [];
    this.#parts.delete(batch);
    this.#waiting -= parts.length;
    return parts;
  }

  clear(): void {
    this.#parts.clear();
    this.#waiting = 0;
  }
}
