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
  /** Offset and length of the data descriptor after the data, when flag bit 3 is set and one is there. */
  readonly descriptor?: { readonly offset: number; readonly length: 16 | 24 | 12 | 20 };
  /** Present where neither a descriptor nor the local header holds `crc32`: only the central directory does. */
  readonly onlyCentralCrc?: true;
  /** Offset of the entry's record in the central directory. */
  readonly centralOffset: number;
}
