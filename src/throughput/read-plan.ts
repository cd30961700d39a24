/** What the reading process is asked to do, and what it answers: JSON on its command line and on its output. */

/** A run of a file. Bytes. */
export interface PlannedRead {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

export interface ReadPlan {
  readonly order: 'sequential' | 'scattered';
  readonly pieces: readonly PlannedRead[];
  readonly blockBytes: number;
  /** Stops after so long, or after the last piece. */
  readonly seconds: number;
}

export interface ReadOutcome {
  readonly bytes: number;
  readonly reads: number;
  readonly seconds: number;
  /** What this process made the kernel fetch from a disk, by /proc/self/io; undefined where that is not counted. */
  readonly diskBytes: number | undefined;
}
