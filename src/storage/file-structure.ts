import type { ByteRanges, FileSpan } from './byte-ranges.ts';
import type { Checksums } from './checksums.ts';

/** What the storage floor needs to know of a file's format. */
export interface FileStructure {
  /** Ranges that identify the file: a zip's central directory, a header. */
  readonly identity: readonly FileSpan[];
  readonly checksums: Checksums;
  /** The bytes that edits may change: the storages. */
  readonly writable: ByteRanges;
}
