import type { MediumFile } from './medium.ts';

/**
 * Where the data plane carries out writes to an image without JavaScript (native/write_lane.h). While a lane is open only the data plane changes
 * the journal and the overlay, and while it is closed only JavaScript does.
 */
export interface WriteLane {
  /** Whether any open file is written through it. */
  readonly wanted: boolean;
  /** Must be called while it is closed, and when everything was taken. */
  open(target: LaneTarget): void;
  /** No write begins from this call on; resolves when none is running. */
  close(): Promise<void>;
  /** The writes since the last call; undefined if there were none. */
  take(): LaneWrites | undefined;
  /** What was taken is in effect for every reader. */
  applied(): void;
  /** Every record up to this one is durable. */
  setDurable(sequence: number): void;
}

/** The place of the next record in the journal. */
export interface LaneTarget {
  readonly file: MediumFile;
  /** Checks after each append whether the file is still at its path. */
  readonly place: object;
  readonly position: number;
  readonly sequence: number;
  /** Every record up to this one is durable. */
  readonly durable: number;
  /** How many bytes the lane may append. */
  readonly roomBytes: number;
}

export interface LaneWrites {
  readonly writes: readonly LaneWrite[];
  /** A write failed: the segment has bytes behind its last record. */
  readonly torn: boolean;
}

export interface LaneWrite {
  readonly nodeid: number;
  readonly bytes: number;
  readonly atMs: number;
  /** What differed, ascending; empty if nothing did. */
  readonly runs: readonly LaneRun[];
}

/** Bytes [start, end) of the image, one record of the journal. */
export interface LaneRun {
  readonly start: number;
  readonly end: number;
  /** Offset of the bytes in the segment. */
  readonly fileOffset: number;
  /** CRC-32 of the bytes before, XOR that of the bytes after. */
  readonly difference: number;
}
