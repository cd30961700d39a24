/**
 * A range of a file as memory of this process, without a copy.
 *
 * The addon maps ranges of any size and place, and guards them: when another program truncates the file, the bytes that are gone read as zeros, and
 * the range says that it is *torn* (native/guarded_mapping.h). Without the addon, the package mmap-io maps below 2 GiB, without a guard.
 */
/**
 * How the bytes will be read, for the kernel. `sequential`: in order. `random`: single pages, so nothing is read ahead. `willNeed`: it begins to read now, of
 * a large range as much as it reads ahead otherwise.
 */
export type MappingIntent = 'sequential' | 'random' | 'willNeed';

/** As of numpy.memmap: `r` cannot be written, and trying ends the process with SIGSEGV. `c` copies the pages that are written; the file stays. */
export type MappingMode = 'r' | 'c';

export interface MapAccess {
  readonly mode: MappingMode;
  readonly intent?: MappingIntent | undefined;
}

export interface MappedRange {
  readonly buffer: ArrayBuffer;
  /** Where the range begins in `buffer`. */
  readonly byteOffset: number;
  /** Whether the process survives when the file is truncated. */
  readonly guarded: boolean;
  /** Whether bytes were gone at some time, as far as anybody noticed: a page that was touched, or a file that is too short now. */
  torn(): boolean;
  /** Detaches `buffer` and releases the memory; without the addon, the memory is released when `buffer` is collected. */
  close(): void;
}
