import type { ByteSource } from '../../storage/byte-source.ts';
import { inParallel } from '../../storage/in-parallel.ts';
import type { DescriptorLength } from './entry.ts';
import type { EntryTable } from './entry-table.ts';
import { DESCRIPTOR_FLAG } from './local-headers.ts';

const DESCRIPTOR_SIGNATURE = 0x08074b50;
const LENGTHS: readonly DescriptorLength[] = [16, 24, 12, 20];

/**
 * Fills the lengths of the data descriptors (APPNOTE 4.3.9), 0 where there is none. `order` is the order of the file. Ordinary archives put the
 * next header right after the descriptor, so its length is the gap and nothing is read; verify checks its contents. Only odd gaps (padding) are looked
 * into.
 */
export async function findDescriptors(
  source: ByteSource,
  table: EntryTable,
  order: Uint32Array,
  centralOffset: number,
): Promise<void> {
  const odd: number[] = [];
  for (let place = 0; place < order.length; place++) {
    const index = order[place] as number;
    if (((table.flags[index] as number) & DESCRIPTOR_FLAG) === 0) continue;
    const following = order[place + 1];
    const next = following === undefined ? centralOffset : (table.localHeaderOffset[following] as number);
    const gap = next - (table.dataOffset[index] as number) - (table.compressedSize[index] as number);
    if (gap === 12 || gap === 16 || gap === 20 || gap === 24) table.descriptorLength[index] = gap;
    else if (gap > 12) odd.push(index);
  }
  await inParallel(odd, 64, async (index) => {
    const crc32 = table.crc32[index] as number;
    const compressedSize = table.compressedSize[index] as number;
    const size = table.size[index] as number;
    const offset = (table.dataOffset[index] as number) + compressedSize;
    const bytes = await source.read(offset, Math.min(24, centralOffset - offset));
    // A commit that was interrupted may have changed one of the two checksums: the sizes tell a descriptor, too.
    table.descriptorLength[index] =
      LENGTHS.find((length) => descriptorMatches(bytes, length, { crc32, compressedSize, size })) ??
      LENGTHS.find((length) =>
        descriptorMatches(bytes, length, { crc32: undefined, compressedSize, size }),
      ) ??
      0;
  });
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
