import { Checksums } from '../../src/storage/checksums.ts';
import type { FileStructure } from '../../src/storage/edits.ts';
import type { ImageBase } from '../../src/storage/image.ts';
import type { SampleArchive } from './archives.ts';

/** Identity: everything behind the last entry. */
export async function structureOfArchive(
  base: ImageBase,
  { entries }: SampleArchive,
): Promise<FileStructure> {
  const ranges = await Promise.all(
    entries.map(async ({ offset, length, fields }) => {
      const written = await base.read(fields[0] as number, 4);
      return { offset, length, fields, crc32: written.readUInt32LE(0) };
    }),
  );
  const end = Math.max(...entries.map(({ offset, length }) => offset + length));
  return { identity: [{ offset: end, length: base.size - end }], checksums: new Checksums(ranges) };
}
