/**
 * What edits need to know about a checkpoint's format: which parts of the file identify it, and where it stores checksums of other parts.
 */

import type { FileSpan } from '../storage/byte-ranges.ts';
import { ByteRanges } from '../storage/byte-ranges.ts';
import type { CheckedRange } from '../storage/checked-ranges.ts';
import { Checksums } from '../storage/checksums.ts';
import type { FileStructure } from '../storage/file-structure.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { ZipEntry } from './zip/entry.ts';
import { LOCAL_CRC } from './zip/local-headers.ts';

/** Of a central directory's record: signature, two versions, flags, method, time, date; then the CRC-32 (APPNOTE 4.3.12). */
const CENTRAL_CRC = 16;
/** Descriptors of these lengths begin with a signature (APPNOTE 4.3.9). */
const SIGNED_DESCRIPTORS: ReadonlySet<number> = new Set([16, 24]);

/** Files that are not archives are identified by their beginning: the header or the pickles, which precede the data. */
const BEGINNING_BYTES = 1024 * 1024;

type Described = Pick<Checkpoint, 'entries' | 'image' | 'storages'>;

export function fileStructure(checkpoint: Described): FileStructure {
  const { entries, image } = checkpoint;
  return {
    identity: entries.length > 0 ? directories(entries, image.size) : beginning(checkpoint),
    checksums: new Checksums(checkedRanges(checkpoint)),
    writable: new ByteRanges(storageRanges(checkpoint)),
  };
}

/** The parts of the file whose CRC-32 the file stores, and its place: the stored entries, including those of inner archives. */
export function* checkedRanges({ entries }: Pick<Checkpoint, 'entries'>): Iterable<CheckedRange> {
  for (const entry of entries) if (isChecked(entry)) yield checkedRange(entry);
}

/** The bytes that edits may change: uncompressed storages in the file. */
function* storageRanges({ storages, image }: Described): Iterable<FileSpan> {
  for (const { bytes } of storages.values()) {
    if (bytes.kind === 'extent' && bytes.image === image && bytes.readOnly !== true)
      yield { offset: bytes.offset, length: bytes.length };
  }
}

/** Stored entries only: the CRC-32 of a deflated entry covers other bytes than those in the file, and edits never touch them. */
function isChecked({ method, size }: ZipEntry): boolean {
  return method === 'stored' && size > 0;
}

function checkedRange(entry: ZipEntry): CheckedRange {
  const { offset, size, crc32 } = entry;
  const checked = { offset, length: size, crc32, fields: [...checksumFields(entry)] };
  const { onlyCentralCrc, localHeaderOffset } = entry;
  return onlyCentralCrc ? { ...checked, differingField: localHeaderOffset + LOCAL_CRC } : checked;
}

/** Offsets at which the entry's CRC-32 is stored. */
function* checksumFields(entry: ZipEntry): Iterable<number> {
  const { descriptor } = entry;
  yield entry.centralOffset + CENTRAL_CRC;
  if (descriptor !== undefined) yield descriptor.offset + (SIGNED_DESCRIPTORS.has(descriptor.length) ? 4 : 0);
  else if (!entry.onlyCentralCrc) yield entry.localHeaderOffset + LOCAL_CRC;
}

/** From the first record of a central directory to the end of the file, where the outermost archive's directory ends. */
function directories(entries: readonly ZipEntry[], size: number): FileSpan[] {
  const dataEnd = entries.reduce((end, entry) => Math.max(end, entry.offset + entry.compressedSize), 0);
  const first = entries.reduce(
    (least, { centralOffset }) => (centralOffset >= dataEnd ? Math.min(least, centralOffset) : least),
    size,
  );
  return first < size ? [{ offset: first, length: size - first }] : [];
}

/** Up to the first storage. */
function beginning({ storages, image }: Described): FileSpan[] {
  let end = Math.min(image.size, BEGINNING_BYTES);
  for (const { bytes } of storages.values()) {
    if (bytes.kind === 'extent' && bytes.readOnly !== true) end = Math.min(end, bytes.offset);
  }
  return end > 0 ? [{ offset: 0, length: end }] : [];
}
