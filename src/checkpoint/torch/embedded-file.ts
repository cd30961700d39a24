import { MlfsError } from '../../errors.ts';
import type { Account } from '../pickle/account.ts';
import type { PickleOrigin } from '../pickle/origin.ts';
import { readPickle } from '../pickle/unpickle.ts';
import type { PyBytes, Value } from '../pickle/values.ts';
import { isLegacyMagic, placeStorages, readLegacyHeader } from './legacy.ts';
import type { StorageTable } from './storage-table.ts';

/** An inner file describes one storage: some hundred bytes of pickles. */
const INNER_LIMITS = { memoryBytes: 16 * 1024 * 1024, steps: 100_000 };

/**
 * Resolves `torch.storage._load_from_bytes`: `pickle.dump` of a tensor stores its storage as a legacy torch file inside
 * a bytes object. If those bytes are in the image, the storage is an extent of the image like any other; otherwise the
 * call stays unresolved.
 */
export function embeddedFiles(
  origin: PickleOrigin,
  outer: StorageTable,
): (bytes: PyBytes, account: Account) => Value | undefined {
  const opened = new Map<PyBytes, Value | undefined>();
  return (bytes, account) => {
    if (!opened.has(bytes)) {
      account.steps(1000);
      account.heap(8192);
      opened.set(bytes, openEmbedded(bytes, origin, outer));
    }
    return opened.get(bytes);
  };
}

function openEmbedded({ bytes }: PyBytes, origin: PickleOrigin, outer: StorageTable): Value | undefined {
  const offset = bytes.byteOffset - origin.bytes.byteOffset;
  const isView =
    bytes.buffer === origin.bytes.buffer && offset >= 0 && offset + bytes.length <= origin.bytes.length;
  if (!isView) return undefined;
  const base = origin.offset + offset;
  const { path } = origin.image;
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (!isLegacyMagic(readPickle(file, { path, limits: INNER_LIMITS }).value)) return undefined;
    const header = readLegacyHeader(file, path, { limits: INNER_LIMITS }, `${base}/`);
    placeStorages(origin.image, { size: file.length }, header, base);
    for (const storage of header.storages.storages.values()) outer.storages.add(storage);
    return header.object.value;
  } catch (cause) {
    // A file that cannot be opened stays an unresolved call.
    if (cause instanceof MlfsError) return undefined;
    throw cause;
  }
}
