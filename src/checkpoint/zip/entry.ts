/** One member of a zip archive with its own offsets resolved through the local header. */
export interface ZipEntry {
  readonly name: string;
  readonly method: 'stored' | 'deflated';
  readonly crc32: number;
  readonly compressedSize: number;
  readonly size: number;
  readonly localHeaderOffset: number;
  /** Where the entry's data starts: after the local name and the local extra field. */
  readonly offset: number;
  /** The data descriptor after the data, when flag bit 3 is set and one is there. */
  readonly descriptor: Descriptor | undefined;
  /** Whether only the central directory holds `crc32`, and neither a descriptor nor the local header. */
  readonly onlyCentralCrc: boolean;
  /** Offset of the entry's record in the central directory. */
  readonly centralOffset: number;
}

export type DescriptorLength = 12 | 16 | 20 | 24;

export interface Descriptor {
  readonly offset: number;
  readonly length: DescriptorLength;
}
