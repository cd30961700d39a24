/** The request to the reading process and its answer: JSON on its command line and on its output. */

/** A range of a file, in bytes. */
export interface PlannedRead {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

export interface ReadPlan {
  readonly order: 'sequential' | 'scattered';
  readonly pieces: readonly PlannedRead[];
  readonly blockBytes: number;
  /** Time after which it stops, if the last piece does not come first. */
  readonly seconds: number;
}

export interface ReadOutcome {
  readonly bytes: number;
  readonly reads: number;
  readonly seconds: number;
  /** Bytes that the kernel read from disk for this process, by /proc/self/io; undefined where they are not counted. */
  readonly diskBytes: number | undefined;
}
