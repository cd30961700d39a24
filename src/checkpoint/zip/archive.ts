/**
 * Opens a zip archive for reading in place: the central directory is parsed (plain records in one pass, all others by yauzl), then every entry
 * is resolved through its own local header, because only that says where the data starts.
 *
 * Invariants of every archive returned: names are unique, relative and without `..`; every entry's header, data and
 * descriptor lie before the central directory and overlap no other entry's; local and central headers say the same;
 * nothing is encrypted; every method is stored or deflated. A violation is an MlfsError with exit code 3
 * that names the file, the entry and the reason. No entry's data is read, so only verify finds a wrong CRC-32.
 */
import type { MlfsError } from '../../errors.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import { quoteName } from '../../visible-text.ts';
import { readCentralDirectory } from './central-directory.ts';
import { findDescriptors } from './descriptors.ts';
import { readEndRecord } from './end-record.ts';
import type { ZipEntry } from './entry.ts';
import type { EntryNames } from './entry-names.ts';
import type { EntryTable } from './entry-table.ts';
import { readLocalHeaders } from './local-headers.ts';
import { refuse } from './refusal.ts';
import { type ByteRange, WindowSource } from './window.ts';

export interface Archive {
  /** In the central directory's order. Offsets are those of `image`, also for an archive inside it. */
  readonly entries: ZipEntry[];
  /** The names of the entries, by their places in `entries`. */
  readonly names: EntryNames;
  /** Problems that are no reason to refuse, such as bytes after the archive or headers that disagree on a CRC. */
  readonly warnings: MlfsError[];
}

/** `window` is where in the image the archive lies, for one that is a stored entry of another; by default it is the whole image. */
export async function readArchive(image: ByteSource, window?: ByteRange): Promise<Archive> {
  const source = window === undefined ? image : new WindowSource(image, window);
  const end = await readEndRecord(source);
  const warnings = [...end.warnings];
  const { table, bytes } = await readCentralDirectory(source, end, window?.offset ?? 0);
  const order = table.inFileOrder();
  await readLocalHeaders(source, table, order, { bytes, offset: end.centralOffset }, warnings);
  refuseOverlaps(source.path, table, order, end.centralOffset);
  await findDescriptors(source, table, order, end.centralOffset);
  return { entries: table.entries(), names: table.names, warnings };
}

function refuseOverlaps(path: string, table: EntryTable, order: Uint32Array, centralOffset: number): void {
  for (let place = 0; place < order.length; place++) {
    const index = order[place] as number;
    const next = order[place + 1];
    const dataEnd = (table.dataOffset[index] as number) + (table.compressedSize[index] as number);
    const nextAt = next === undefined ? centralOffset : (table.localHeaderOffset[next] as number);
    if (dataEnd <= nextAt) continue;
    const what =
      next === undefined || nextAt > centralOffset
        ? `the central directory at byte ${centralOffset}`
        : `entry ${quoteName(table.names.text(next))} at byte ${nextAt}`;
    const range = `bytes ${table.localHeaderOffset[index]} to ${dataEnd}`;
    throw refuse('ERR_MLFS_ZIP_OVERLAP', path, table.names.text(index), `${range} overlap ${what}`);
  }
}
