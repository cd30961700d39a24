import { MlfsError } from '../../errors.ts';
import type { Image } from '../../storage/image.ts';
import { quoteName } from '../../visible-text.ts';
import type { ParsedCheckpoint, ParseOptions } from '../checkpoint.ts';
import { PICKLE_LIMITS } from '../pickle/limits.ts';
import { readPickle } from '../pickle/unpickle.ts';
import { embeddedFiles } from './embedded-file.ts';
import { isLegacyMagic, openLegacy, readLegacyHeader } from './legacy.ts';
import { withPickleWindow } from './pickle-window.ts';
import { namedTensors, readTorchPickle } from './read-torch-pickle.ts';
import { StorageTable } from './storage-table.ts';

/** How much of a file is read before it is known how long its pickles are. */
const FIRST_WINDOW = 1024 * 1024;

/** Opens a file that starts with a pickle: torch's legacy container, or one pickle that ends with the file. */
export async function openPickleFile(image: Image, options: ParseOptions): Promise<ParsedCheckpoint> {
  const limitBytes = options.limits?.pickleBytes ?? PICKLE_LIMITS.pickleBytes;
  const window = { start: 0, end: image.size, firstBytes: FIRST_WINDOW, limitBytes };
  const first = await withPickleWindow(image, window, (head) =>
    readPickle(head, { path: image.path, limits: options.limits }),
  );
  if (isLegacyMagic(first.value)) {
    const header = await withPickleWindow(image, window, (head) =>
      readLegacyHeader(head, image.path, { ...options, origin: { image, bytes: head, offset: 0 } }),
    );
    return openLegacy(image, header);
  }
  if (first.bytesConsumed !== image.size) {
    throw new MlfsError(
      'ERR_MLFS_FORMAT',
      `${image.path}: is a pickle of ${first.bytesConsumed} bytes with ${image.size - first.bytesConsumed} bytes after it, and not torch's`,
      { path: image.path },
    );
  }
  return openPlainPickle(image, await image.read(0, image.size), options);
}

/** A pickle that torch did not write: an object tree, and tensors only where their bytes are inside it. */
function openPlainPickle(image: Image, bytes: Buffer, options: ParseOptions): ParsedCheckpoint {
  const place = { path: image.path, limits: options.limits };
  const storages = new StorageTable(place, 'little', ({ key }) => {
    throw new MlfsError('ERR_MLFS_STORAGE', `${image.path}: storage ${quoteName(key)} is not in this file`, {
      path: image.path,
      advice: 'It is the data.pkl of a checkpoint that was unpacked; open the whole archive.',
    });
  });
  const origin = { image, bytes, offset: 0 };
  const loadFromBytes = embeddedFiles(origin, storages);
  const pickle = readTorchPickle(bytes, storages, { ...place, loadFromBytes, origin });
  const warnings: MlfsError[] = [];
  return {
    format: 'pickle',
    root: pickle.value,
    tensors: namedTensors(pickle, place, [], warnings),
    storages: storages.storages,
    entries: [],
    unknownGlobals: [...pickle.unknownGlobals].sort(),
    warnings,
    metadata: {},
  };
}
