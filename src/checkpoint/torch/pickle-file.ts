import { MlfsError } from '../../errors.ts';
import type { Image } from '../../storage/image.ts';
import { PICKLE_LIMITS } from '../pickle/limits.ts';
import { TruncatedPickle } from '../pickle/refusal.ts';
import { readPickle } from '../pickle/unpickle.ts';
import { isLegacyMagic, openLegacy, readLegacyHeader } from './legacy.ts';
import { namedTensors, readTorchPickle } from './read-torch-pickle.ts';
import { StorageTable } from './storage-table.ts';
import type { OpenedCheckpoint, OpenOptions } from './zip-checkpoint.ts';

/** How much of a file is read before it is known how long its pickles are. */
const FIRST_WINDOW = 1024 * 1024;

/** Opens a file that starts with a pickle: torch's legacy container, or one pickle that ends with the file. */
export async function openPickleFile(image: Image, options: OpenOptions): Promise<OpenedCheckpoint> {
  const limit = options.limits?.pickleBytes ?? PICKLE_LIMITS.pickleBytes;
  const first = await withWindow(image, limit, (head) =>
    readPickle(head, { path: image.path, limits: options.limits }),
  );
  if (isLegacyMagic(first.value)) {
    const header = await withWindow(image, limit, (head) => readLegacyHeader(head, image.path, options));
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
function openPlainPickle(image: Image, bytes: Buffer, options: OpenOptions): OpenedCheckpoint {
  const place = { path: image.path, limits: options.limits };
  const storages = new StorageTable(place, 'little', ({ key }) => {
    throw new MlfsError(
      'ERR_MLFS_STORAGE',
      `${image.path}: storage ${JSON.stringify(key)} is not in this file`,
      {
        path: image.path,
        advice: 'It is the data.pkl of a checkpoint that was unpacked; open the whole archive.',
      },
    );
  });
  const pickle = readTorchPickle(bytes, storages, place);
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

/** Reads the start of the file, and more of it as long as a pickle goes on past what was read. */
async function withWindow<T>(image: Image, limit: number, read: (head: Buffer) => T): Promise<T> {
  for (let window = FIRST_WINDOW; ; window *= 4) {
    const length = Math.min(window, image.size, limit);
    try {
      return read(await image.read(0, length));
    } catch (cause) {
      const goesOn = cause instanceof MlfsError && cause.cause instanceof TruncatedPickle;
      if (!goesOn || length === image.size) throw cause;
      if (length < limit) continue;
      throw new MlfsError('ERR_MLFS_LIMIT', `${image.path}: its pickles have more than ${limit} bytes`, {
        path: image.path,
        cause,
      });
    }
  }
}
