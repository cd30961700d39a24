import type { ByteSource } from '../../storage/byte-source.ts';
import { inParallel } from '../../storage/in-parallel.ts';
import { DESCRIPTOR_FLAG, type LocatedRecord } from './local-headers.ts';

export type DescriptorLength = 12 | 16 | 20 | 24;

const DESCRIPTOR_SIGNATURE = 0x08074b50;
const LENGTHS: readonly DescriptorLength[] = [16, 24, 12, 20];

/**
 * The lengths of the data descriptors (APPNOTE 4.3.9) of records sorted by offset, 0 where there is none. Ordinary
 * archives put the next header right after the descriptor, so its length is the gap and nothing is read; verify checks its
 * contents. Only odd gaps (padding) are looked into.
 */
export async function findDescriptors(
  source: ByteSource,
  records: readonly LocatedRecord[],
  centralOffset: number,
): Promise<(DescriptorLength | 0)[]> {
  const lengths: (DescriptorLength | 0)[] = new Array(records.length).fill(0);
  const odd: number[] = [];
  records.forEach(({ central, dataOffset }, index) => {
    if ((central.flags & DESCRIPTOR_FLAG) === 0) return;
    const next = records[index + 1]?.central.localHeaderOffset ?? centralOffset;
    const gap = next - (dataOffset + central.compressedSize);
    const exact = LENGTHS.find((length) => length === gap);
    if (exact !== undefined) lengths[index] = exact;
    else if (gap > 12) odd.push(index);
  });
  await inParallel(odd, 64, async (index) => {
    const { central, dataOffset } = records[index] as LocatedRecord;
    const offset = dataOffset + central.compressedSize;
    const bytes = await source.read(offset, Math.min(24, centralOffset - offset));
    // A commit that was interrupted may have changed one of the two checksums: the sizes tell a descriptor, too.
    lengths[index] =
      LENGTHS.find((length) => descriptorMatches(bytes, length, central)) ??
      LENGTHS.find((length) => descriptorMatches(bytes, length, { ...central, crc32: undefined })) ??
      0;
  });
  return lengths;
}

/** Whether the bytes hold a descriptor of this length with these values. Without a CRC-32 any will do, if the sizes are not zero. */
export function descriptorMatches(
  bytes: Buffer,
  length: DescriptorLength,
  entry: { readonly crc32: number | undefined; readonly compressedSize: number; readonly size: number },
): boolean {
  if (bytes.length < length) return false;
  // offset 0: optional signature; then CRC-32, compressed size and size, 4 or (ZIP64) 8 bytes each
  const signed = length === 16 || length === 24;
  if (signed && bytes.readUInt32LE(0) !== DESCRIPTOR_SIGNATURE) return false;
  const at = signed ? 4 : 0;
  if (entry.crc32 === undefined ? entry.size === 0 : bytes.readUInt32LE(at) !== entry.crc32) return false;
  if (length === 24 || length === 20) {
    return (
      bytes.readBigUInt64LE(at + 4) === BigInt(entry.compressedSize) &&
      bytes.readBigUInt64LE(at + 12) === BigInt(entry.size)
    );
  }
  return bytes.readUInt32LE(at + 4) === entry.compressedSize && bytes.readUInt32LE(at + 8) === entry.size;
}
