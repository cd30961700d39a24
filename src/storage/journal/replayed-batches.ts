import type { Placement } from '../overlay.ts';
import { damaged } from './open-segments.ts';

/** A write of a batch, which counts only with the batch's end. */
export interface BatchPart {
  readonly offset: number;
  readonly length: number;
  readonly placement: Placement;
}

/** Maximum number of writes that wait for the ends of their batches, some 800 MB: a replaced tensor of 1 TiB has a million. */
const MAX_WAITING_PARTS = 8 * 1024 * 1024;

/** The batches of a replayed journal that have not ended yet. */
export class ReplayedBatches {
  readonly #directory: string;
  readonly #parts = new Map<number, BatchPart[]>();
  #waiting = 0;

  /** `directory`: the journal's path, for messages. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** `path`: the segment of the record. Throws ERR_MLFS_RECOVERY when too many are waiting. */
  add(batch: number, part: BatchPart, path: string): void {
    const parts = this.#parts.get(batch) ?? [];
    this.#parts.set(batch, parts);
    parts.push(part);
    this.#waiting++;
    if (this.#waiting <= MAX_WAITING_PARTS) return;
    throw damaged(this.#directory, path, `has more than ${MAX_WAITING_PARTS} records of unfinished batches`);
  }

  /** The writes of a complete batch. */
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
