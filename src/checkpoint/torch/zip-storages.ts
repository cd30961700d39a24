import { MlfsError } from '../../errors.ts';
import type { Image } from '../../storage/image.ts';
import { quoteName } from '../../visible-text.ts';
import type { StorageBytes } from '../tensor.ts';
import type { ZipEntry } from '../zip/entry.ts';
import type { ArchiveLayout } from './archive-layout.ts';
import type { LocatedStorage, StorageLocator } from './storage-table.ts';

/** Finds storages among the records of an archive, in the given folders. */
export function zipStorages(image: Image, layout: ArchiveLayout, folders: readonly string[]): StorageLocator {
  const records = folders.map((folder) => layout.records.in(`${folder}/`));
  return ({ key, nbytes, location }) => {
    for (let index = 0; index < folders.length; index++) {
      const folder = folders[index] as string;
      const entry = records[index]?.get(key);
      if (entry !== undefined) return { bytes: entryBytes(image, entry, nbytes), folder };
    }
    if (location === 'meta') return absent('a storage on the meta device has no bytes');
    if (nbytes === 0) return absent('an empty storage');
    throw new MlfsError(
      'ERR_MLFS_STORAGE',
      `${image.path}: storage ${quoteName(key)} has no entry ${quoteName(`${layout.prefix}${folders[0]}/${key}`)}`,
      { path: image.path },
    );
  };
}

/** The bytes of a storage that is one entry. Throws ERR_MLFS_STORAGE when the entry has not exactly `nbytes`. */
export function entryBytes(image: Image, entry: ZipEntry, nbytes: number): StorageBytes {
  if (entry.size !== nbytes) {
    throw new MlfsError(
      'ERR_MLFS_STORAGE',
      `${image.path}: entry ${quoteName(entry.name)} has ${entry.size} bytes, its storage ${nbytes}`,
      { path: image.path },
    );
  }
  const { offset, compressedSize, size: length, crc32 } = entry;
  return entry.method === 'stored'
    ? { kind: 'extent', image, offset, length }
    : { kind: 'deflated', image, offset, compressedLength: compressedSize, length, crc32 };
}

function absent(reason: string): LocatedStorage {
  return { bytes: { kind: 'absent', reason } };
}
