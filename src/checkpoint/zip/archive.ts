/**
 * Opens a zip archive for reading in place: yauzl parses the central directory, then every entry is resolved through
 * its own local header, because only that says where the data starts.
 *
 * Invariants of every archive returned: names are unique, relative and without `..`; every entry's header, data and
 * descriptor lie before the central directory and overlap no other entry's; local and central headers say the same;
 * nothing is encrypted; every method is stored or deflated. A violation is an MlfsError with exit code 3
 * that names the file, the entry and the reason. No entry's data is read, so only verify finds a wrong CRC-32.
 */
import type { MlfsError } from '../../errors.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import { quoteName } from '../../visible-text.ts';
import { type CentralRecord, readCentralDirectory } from './central-directory.ts';
import { type DescriptorLength, findDescriptors } from './descriptors.ts';
import { readEndRecord } from './end-record.ts';
import type { ZipEntry } from './entry.ts';
import { type LocatedRecord, readLocalHeaders } from './local-headers.ts';
import { refuse } from './refusal.ts';
import { type ByteRange, WindowSource } from './window.ts';

export interface Archive {
  /** In the central directory's order. Offsets are those of `image`, also for an archive inside it. */
  readonly entries: ZipEntry[];
  /** Problems that are no reason to refuse, such as bytes after the archive or headers that disagree on a CRC. */
  readonly warnings: MlfsError[];
}

/** `window` is where in the image the archive lies, for one that is a stored entry of another; by default it is the whole image. */
export async function readArchive(image: ByteSource, window?: ByteRange): Promise<Archive> {
  const source = window === undefined ? image : new WindowSource(image, window);
  const base = window?.offset ?? 0;
  const end = await readEndRecord(source);
  const warnings = [...end.warnings];
  const records = await readCentralDirectory(source, end);
  const sorted = records.toSorted((a, b) => a.localHeaderOffset - b.localHeaderOffset);
  const located = await readLocalHeaders(source, sorted, warnings);
  refuseOverlaps(source.path, located, end.centralOffset);
  const descriptors = await findDescriptors(source, located, end.centralOffset);

  const entries = new Map<CentralRecord, ZipEntry>();
  located.forEach((record, index) => {
    entries.set(record.central, toEntry(record, descriptors[index] ?? 0, base));
  });
  return { entries: records.map((record) => entries.get(record) as ZipEntry), warnings };
}

function refuseOverlaps(path: string, sorted: readonly LocatedRecord[], centralOffset: number): void {
  sorted.forEach(({ central, dataOffset }, index) => {
    const dataEnd = dataOffset + central.compressedSize;
    const next = sorted[index + 1]?.central;
    if (next !== undefined && dataEnd > next.localHeaderOffset) {
      throw refuse(
        'ERR_MLFS_ZIP_OVERLAP',
        path,
        central.name,
        `bytes ${central.localHeaderOffset} to ${dataEnd} overlap entry ${quoteName(next.name)} at byte ${next.localHeaderOffset}`,
      );
    }
    if (dataEnd > centralOffset) {
      throw refuse(
        'ERR_MLFS_ZIP_OVERLAP',
        path,
        central.name,
        `bytes ${central.localHeaderOffset} to ${dataEnd} overlap the central directory at byte ${centralOffset}`,
      );
    }
  });
}

function toEntry(
  { central, dataOffset, hasCrc }: LocatedRecord,
  descriptor: DescriptorLength | 0,
  base: number,
): ZipEntry {
  const offset = base + dataOffset;
  return {
    name: central.name,
    method: central.method,
    crc32: central.crc32,
    compressedSize: central.compressedSize,
    size: central.size,
    localHeaderOffset: base + central.localHeaderOffset,
    offset,
    centralOffset: base + central.centralOffset,
    ...(descriptor === 0
      ? hasCrc
        ? {}
        : { onlyCentralCrc: true }
      : { descriptor: { offset: offset + central.compressedSize, length: descriptor } }),
  };
}
