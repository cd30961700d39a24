import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import { fileStructure } from '../../src/checkpoint/file-structure.ts';
import type { Storage } from '../../src/checkpoint/tensor.ts';
import { readArchive } from '../../src/checkpoint/zip/archive.ts';
import type { ZipEntry } from '../../src/checkpoint/zip/entry.ts';
import type { FileStructure } from '../../src/storage/file-structure.ts';
import type { Image } from '../../src/storage/image.ts';

/** The records of the sample archives that hold tensors. */
const STORAGE = /\/(data\/\d+|extra\.bin)$/;

/** What the edits know of a file's format, read from the file as it is now. A record that is an archive itself is looked into. */
export async function structureOfArchive(image: Image): Promise<FileStructure> {
  const { entries } = await readArchive(image);
  for (const { name, offset, size } of [...entries]) {
    if (name.endsWith('.pt')) entries.push(...(await readArchive(image, { offset, length: size })).entries);
  }
  const checkpoint: Checkpoint = {
    format: 'torch-zip',
    path: image.path,
    image,
    root: null,
    tensors: [],
    storages: new Map(
      entries
        .filter(({ name }) => STORAGE.test(name))
        .map((entry) => [`${entry.offset}`, storageOf(image, entry)]),
    ),
    entries,
    unknownGlobals: [],
    warnings: [],
    metadata: {},
    close: () => image.close(),
  };
  return fileStructure(checkpoint);
}

function storageOf(image: Image, { name, offset, size }: ZipEntry): Storage {
  return {
    type: 'storage',
    key: name,
    dtype: undefined,
    nbytes: size,
    location: 'cpu',
    bytes: { kind: 'extent', image, offset, length: size },
    byteorder: 'little',
  };
}
