/**
 * torch's container before 1.6, which `_use_new_zipfile_serialization=False` still writes: five pickles, one after the other
 * (magic number, protocol version, system info, the object, the keys of its storages), then for each key in that order an int64
 * count of elements and the raw bytes, all little-endian. A storage is an extent of the file, as in a zip.
 */
import { MlfsError } from '../../errors.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import type { Image } from '../../storage/image.ts';
import { inParallel } from '../../storage/in-parallel.ts';
import { quoteName } from '../../visible-text.ts';
import type { ParsedCheckpoint, ParseOptions } from '../checkpoint.ts';
import type { PickleOrigin } from '../pickle/origin.ts';
import { readPickle } from '../pickle/unpickle.ts';
import { PyDict, PyList, type Value } from '../pickle/values.ts';
import { DTYPES } from '../tensor.ts';
import { namedTensors, readTorchPickle, type TorchPickle } from './read-torch-pickle.ts';
import { StorageTable, type TorchStorage } from './storage-table.ts';

const MAGIC_NUMBER = 0x1950a86a20f9469cfc6cn;
const PROTOCOL_VERSION = 1001;
/** The int64 before each storage. */
const COUNT_BYTES = 8;

/** Everything that precedes the storages. */
export interface LegacyHeader {
  readonly object: TorchPickle;
  readonly storages: StorageTable;
  /** The storages in the file's order. */
  readonly order: readonly TorchStorage[];
  /** Offset of the first count. */
  readonly storagesOffset: number;
  readonly systemInfo: Value;
}

/** Whether a pickle's value is the magic number of a legacy file. */
export function isLegacyMagic(value: Value): boolean {
  return value === MAGIC_NUMBER;
}

/** Reads the five pickles at the start of `head`. Throws ERR_MLFS_PICKLE whose cause is a TruncatedPickle when `head` is too short. */
export function readLegacyHeader(
  head: Buffer,
  path: string,
  options: ParseOptions & { readonly origin?: PickleOrigin },
  keyPrefix = '',
): LegacyHeader {
  const place = { path, limits: options.limits };
  let start = readPickle(head, place).bytesConsumed;
  const next = () => {
    const pickle = readPickle(head, { ...place, start });
    start += pickle.bytesConsumed;
    return pickle.value;
  };
  const version = next();
  if (version !== PROTOCOL_VERSION) {
    throw refuse(
      'ERR_MLFS_FORMAT',
      path,
      `legacy protocol version ${String(version)}, not ${PROTOCOL_VERSION}`,
    );
  }
  const systemInfo = next();
  const unplaced = { bytes: { kind: 'absent', reason: 'it is not among the keys of the file' } } as const;
  const storages = new StorageTable(place, 'little', () => unplaced, undefined, keyPrefix);
  const object = readTorchPickle(head, storages, { ...place, start, origin: options.origin });
  start += object.bytesConsumed;
  const keys = next();
  if (!(keys instanceof PyList))
    throw refuse('ERR_MLFS_FORMAT', path, 'the list of storage keys is not a list');
  return {
    object,
    storages,
    order: storagesInOrder(path, keys, storages),
    storagesOffset: start,
    systemInfo,
  };
}

export async function openLegacy(image: Image, header: LegacyHeader): Promise<ParsedCheckpoint> {
  const { object, storages, order } = header;
  const end = placeStorages(image, image, header, 0);
  await checkCounts(image, order);
  const warnings: MlfsError[] = [];
  if (end < image.size) {
    warnings.push(refuse('ERR_MLFS_FORMAT', image.path, `${image.size - end} bytes follow the last storage`));
  }
  return {
    format: 'torch-legacy',
    root: object.value,
    tensors: namedTensors(object, { path: image.path }, [], warnings),
    storages: storages.storages,
    entries: [],
    unknownGlobals: [...object.unknownGlobals].sort(),
    warnings,
    metadata: { protocol_version: String(PROTOCOL_VERSION), ...systemFacts(header.systemInfo) },
  };
}

/**
 * Gives every storage its extent of `image`; `base` is where in it the legacy file starts. Returns where it ends, counted from
 * `base`. `source` is the legacy file itself.
 */
export function placeStorages(
  image: Image,
  source: Pick<ByteSource, 'size'>,
  header: LegacyHeader,
  base: number,
): number {
  let offset = header.storagesOffset;
  for (const storage of header.order) {
    offset += COUNT_BYTES;
    if (offset + storage.nbytes > source.size) {
      throw refuse(
        'ERR_MLFS_TRUNCATED',
        image.path,
        `storage ${quoteName(storage.key)} is bytes ${offset} to ${offset + storage.nbytes}, and the file ends at ${source.size}`,
      );
    }
    storage.bytes = { kind: 'extent', image, offset: base + offset, length: storage.nbytes };
    offset += storage.nbytes;
  }
  for (const { view, root, offsetBytes } of header.storages.views) {
    if (root.bytes.kind !== 'extent') continue;
    view.bytes = { ...root.bytes, offset: root.bytes.offset + offsetBytes, length: view.nbytes };
  }
  const missing = [...header.storages.storages.values()].find(
    (storage) => storage.bytes.kind === 'absent' && storage.location !== 'meta',
  );
  if (missing !== undefined) {
    throw refuse(
      'ERR_MLFS_STORAGE',
      image.path,
      `storage ${quoteName(missing.key)} is not in the file's list of keys`,
    );
  }
  return offset;
}

function storagesInOrder(path: string, keys: PyList, table: StorageTable): TorchStorage[] {
  const seen = new Set<TorchStorage>();
  for (const item of keys.items) {
    const key = String(item);
    const storage = table.byId(key);
    if (storage === undefined) {
      throw refuse(
        'ERR_MLFS_STORAGE',
        path,
        `storage ${quoteName(key)} is in the list of keys, but nothing uses it`,
      );
    }
    if (seen.has(storage)) {
      throw refuse('ERR_MLFS_STORAGE', path, `storage ${quoteName(key)} is in the list of keys twice`);
    }
    seen.add(storage);
  }
  return [...seen];
}

/** The counts in the file must be the ones the persistent ids announced, because every later offset follows from them. */
async function checkCounts(image: Image, order: readonly TorchStorage[]): Promise<void> {
  await inParallel(order, 64, async ({ key, nbytes, dtype, bytes }) => {
    if (bytes.kind !== 'extent') return;
    const count = (await image.read(bytes.offset - COUNT_BYTES, COUNT_BYTES)).readBigInt64LE();
    const itemsize = dtype === undefined ? 1 : DTYPES[dtype];
    if (count * BigInt(itemsize) !== BigInt(nbytes)) {
      throw refuse(
        'ERR_MLFS_STORAGE',
        image.path,
        `storage ${quoteName(key)} has ${count} elements at byte ${bytes.offset - COUNT_BYTES}, the pickle says ${nbytes / itemsize}`,
      );
    }
  });
}

function systemFacts(info: Value): Record<string, string> {
  const littleEndian = info instanceof PyDict ? info.get('little_endian') : undefined;
  return typeof littleEndian === 'boolean'
    ? { written_on: littleEndian ? 'little-endian' : 'big-endian' }
    : {};
}

function refuse(
  code: 'ERR_MLFS_FORMAT' | 'ERR_MLFS_STORAGE' | 'ERR_MLFS_TRUNCATED',
  path: string,
  reason: string,
): MlfsError {
  return new MlfsError(code, `${path}: ${reason}`, { path });
}
