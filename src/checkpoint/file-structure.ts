/**
 * What the edits of a checkpoint must know of its format: which parts say what the file is, and where checksums of other parts are
 * written down.
 */
import { type CheckedRange, Checksums } from '../storage/checksums.ts';
import type { FileRange } from '../storage/commit-note.ts';
import type { FileStructure } from '../storage/edits.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { ZipEntry } from './zip/entry.ts';

/** Of a central directory's record: signature, two versions, flags, method, time, date; then the CRC-32 (APPNOTE 4.3.12). */
const CENTRAL_CRC = 16;
/** Of a local header: signature, version, flags, method, time, date (APPNOTE 4.3.7). */
const LOCAL_CRC = 14;
/** Descriptors of these lengths begin with a signature (APPNOTE 4.3.9). */
const SIGNED_DESCRIPTORS: ReadonlySet<number> = new Set([16, 24]);

/** Files that are no archives are told apart by their beginning: the header or the pickles, which lie before the data. */
const BEGINNING_BYTES = 1024 * 1024;

export function fileStructure(checkpoint: Checkpoint): FileStructure {
  const { entries, image } = checkpoint;
  return {
    identity: entries.length > 0 ? directories(entries, image.size) : beginning(checkpoint),
    checksums: new Checksums(entries.filter(isChecked).map(checkedRange)),
  };
}

/** The stored bytes of an entry are what its CRC-32 is of; of a deflated one they are not, and nobody edits those. */
function isChecked({ method, size }: ZipEntry): boolean {
  return method === 'stored' && size > 0;
}

function checkedRange({
  offset,
  size,
  crc32,
  centralOffset,
  localHeaderOffset,
  descriptor,
}: ZipEntry): CheckedRange {
  const second =
    descriptor === undefined
      ? localHeaderOffset + LOCAL_CRC
      : descriptor.offset + (SIGNED_DESCRIPTORS.has(descriptor.length) ? 4 : 0);
  return { offset, length: size, crc32, fields: [centralOffset + CENTRAL_CRC, second] };
}

/** From the first record of a central directory to the end of the file, where the outermost archive's ends. */
function directories(entries: readonly ZipEntry[], size: number): FileRange[] {
  const dataEnd = entries.reduce((end, entry) => Math.max(end, entry.offset + entry.compressedSize), 0);
  const first = entries.reduce(
    (least, { centralOffset }) => (centralOffset >= dataEnd ? Math.min(least, centralOffset) : least),
    size,
  );
  return first < size ? [{ offset: first, length: size - first }] : [];
}

/** Up to the first storage. */
function beginning({ storages, image }: Checkpoint): FileRange[] {
  let end = Math.min(image.size, BEGINNING_BYTES);
  for (const { bytes } of storages.values()) {
    if (bytes.kind === 'extent') end = Math.min(end, bytes.offset);
  }
  return end > 0 ? [{ offset: 0, length: end }] : [];
}
