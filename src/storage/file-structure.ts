import type { ByteRanges, FileSpan } from './byte-ranges.ts';
import type { Checksums } from './checksums.ts';

/** What the storage floor must know of a file's format. */
export interface FileStructure {
  /** Parts that say what the file is: a zip's central directory, a header. */
  readonly identity: readonly FileSpan[];
  readonly checksums: Checksums;
  /** The bytes that edits may change: the storages. */
  readonly writable: ByteRanges;
}
