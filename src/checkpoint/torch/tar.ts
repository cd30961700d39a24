/**
 * torch's first container (before 0.1.10), a tar of four files: `storages` (a count, then for each storage a pickled (key, location,
 * class), an int64 count of elements and the raw bytes; then the list of views), `tensors` (a count, then for each tensor a pickled
 * (key, storage key, class), int32 dimensions, 4 unused bytes, int64 sizes, strides and offset), `pickle` (the object, whose
 * persistent ids are keys of both) and `sys_info`. A storage is an extent of the file, as in a zip.
 */
import { MlfsError } from '../../errors.ts';
import type { Image } from '../../storage/image.ts';
import { quoteName } from '../../visible-text.ts';
import type { ParsedCheckpoint, ParseOptions } from '../checkpoint.ts';
import { items } from '../pickle/builtin-reconstructors.ts';
import { PICKLE_LIMITS } from '../pickle/limits.ts';
import { readPickle, type Unpickled } from '../pickle/unpickle.ts';
import { PyGlobal, PyList, PyTuple, type Value } from '../pickle/values.ts';
import { readTarMembers, type TarMember } from '../tar-members.ts';
import { DTYPES } from '../tensor.ts';
import { storageClass } from './dtype-names.ts';
import { withPickleWindow } from './pickle-window.ts';
import { namedTensors, readTorchPickle } from './read-torch-pickle.ts';
import { StorageMap } from './storage-map.ts';
import { StorageTable, TorchStorage } from './storage-table.ts';
import { checkGeometry, GeometryFault } from './tensor-geometry.ts';
import { TorchTensor } from './torch-tensor.ts';

const MEMBERS = ['pickle', 'storages', 'tensors'] as const;
const FIRST_WINDOW = 4096;
/** A file of that time had some thousands. */
const MAX_OBJECTS = 100_000;

export async function openTorchTar(image: Image, options: ParseOptions): Promise<ParsedCheckpoint> {
  const members = await readTarMembers(image);
  const [pickle, storages, tensors] = MEMBERS.map((name) => members.get(name));
  if (pickle === undefined || storages === undefined || tensors === undefined)
    throw noCheckpoint(image, members);
  const file = new TarCheckpoint(image, options);
  await file.readStorages(storages);
  await file.readTensors(tensors);
  return file.readObject(pickle);
}

class TarCheckpoint {
  readonly #image: Image;
  readonly #options: ParseOptions;
  readonly #storages = new StorageMap<TorchStorage>();
  readonly #tensors = new Map<string, TorchTensor>();

  constructor(image: Image, options: ParseOptions) {
    this.#image = image;
    this.#options = options;
  }

  async readStorages(member: TarMember): Promise<void> {
    const cursor = new MemberCursor(this.#image, member, this.#options);
    const count = this.#count(await cursor.pickle(), 'storages');
    for (let index = 0; index < count; index++) {
      const [key, location, cls] = items(await cursor.pickle()) ?? [];
      const dtype = cls instanceof PyGlobal ? storageClass(cls.module, cls.name) : undefined;
      if (dtype === undefined || dtype === 'untyped')
        throw this.#refuse(`storage ${index} is of an unknown class`);
      const numel = Number((await cursor.bytes(8)).readBigInt64LE());
      const nbytes = numel * DTYPES[dtype];
      const offset = cursor.skip(nbytes, `storage ${quoteName(keyOf(key))}`);
      this.#storages.add(
        new TorchStorage({
          key: keyOf(key),
          dtype,
          nbytes,
          location: typeof location === 'string' ? location : 'cpu',
          bytes: { kind: 'extent', image: this.#image, offset, length: nbytes },
          byteorder: 'little',
        }),
      );
    }
    const views = await cursor.pickle();
    for (const view of views instanceof PyList || views instanceof PyTuple ? views.items : [])
      this.#addView(view);
  }

  async readTensors(member: TarMember): Promise<void> {
    const cursor = new MemberCursor(this.#image, member, this.#options);
    const count = this.#count(await cursor.pickle(), 'tensors');
    for (let index = 0; index < count; index++) {
      const [key, storageKey] = items(await cursor.pickle()) ?? [];
      const storage = this.#storages.get(keyOf(storageKey));
      if (storage?.dtype === undefined) {
        throw this.#refuse(
          `tensor ${quoteName(keyOf(key))} is of storage ${quoteName(keyOf(storageKey))}, which is not there`,
        );
      }
      const dimensions = (await cursor.bytes(8)).readInt32LE();
      if (dimensions < 0 || dimensions > 256)
        throw this.#refuse(`tensor ${quoteName(keyOf(key))} has ${dimensions} dimensions`);
      const numbers = await cursor.bytes(8 * (2 * dimensions + 1));
      const at = (position: number) => Number(numbers.readBigInt64LE(8 * position));
      const tuple = (start: number) =>
        new PyTuple(Array.from({ length: dimensions }, (_unused, dim) => at(start + dim)));
      try {
        const geometry = checkGeometry(
          at(2 * dimensions),
          tuple(0),
          tuple(dimensions),
          storage.dtype,
          storage.nbytes,
        );
        this.#tensors.set(keyOf(key), new TorchTensor({ ...geometry, dtype: storage.dtype, storage }, false));
      } catch (cause) {
        if (!(cause instanceof GeometryFault)) throw cause;
        const message = `${this.#image.path}: tensor ${quoteName(keyOf(key))}: ${cause.message}`;
        throw new MlfsError('ERR_MLFS_TENSOR', message, { path: this.#image.path, cause });
      }
    }
  }

  async readObject(member: TarMember): Promise<ParsedCheckpoint> {
    const place = { path: this.#image.path, entry: 'pickle', limits: this.#options.limits };
    const bytes = await readMember(this.#image, member, this.#options);
    const object = readTorchPickle(bytes, new TarTable(place, this.#storages, this.#tensors), place);
    const warnings: MlfsError[] = [];
    return {
      format: 'torch-tar',
      root: object.value,
      tensors: namedTensors(object, place, [], warnings),
      storages: this.#storages,
      entries: [],
      unknownGlobals: [...object.unknownGlobals].sort(),
      warnings,
      metadata: {},
    };
  }

  /** (view key, root key, offset, numel) in elements. */
  #addView(view: Value): void {
    const [key, rootKey, offset, numel] = items(view) ?? [];
    const root = this.#storages.get(keyOf(rootKey));
    if (root?.bytes.kind !== 'extent' || root.dtype === undefined) {
      throw this.#refuse(
        `view ${quoteName(keyOf(key))} is of storage ${quoteName(keyOf(rootKey))}, which is not there`,
      );
    }
    const itemsize = DTYPES[root.dtype];
    const offsetBytes = typeof offset === 'number' ? offset * itemsize : -1;
    const nbytes = typeof numel === 'number' ? numel * itemsize : -1;
    if (offsetBytes < 0 || nbytes < 0 || offsetBytes + nbytes > root.nbytes) {
      throw this.#refuse(
        `view ${quoteName(keyOf(key))} leaves storage ${quoteName(root.key)}, which has ${root.nbytes} bytes`,
      );
    }
    const bytes = { ...root.bytes, offset: root.bytes.offset + offsetBytes, length: nbytes };
    this.#storages.add(new TorchStorage({ ...root, key: keyOf(key), nbytes, bytes }));
  }

  #count(value: Value, what: string): number {
    if (typeof value === 'number' && value >= 0 && value <= MAX_OBJECTS) return value;
    throw this.#refuse(`the number of ${what} is ${typeof value === 'object' ? 'no number' : String(value)}`);
  }

  #refuse(reason: string): MlfsError {
    return new MlfsError('ERR_MLFS_STORAGE', `${this.#image.path}: ${reason}`, { path: this.#image.path });
  }
}

/** The persistent ids of these files are bare keys, and a tuple that starts with a class. */
class TarTable extends StorageTable {
  readonly #tensors: ReadonlyMap<string, TorchTensor>;

  constructor(
    place: { readonly path: string; readonly entry: string },
    storages: StorageMap<TorchStorage>,
    tensors: ReadonlyMap<string, TorchTensor>,
  ) {
    super(
      place,
      'little',
      ({ key }) => {
        const message = `${place.path}: storage ${quoteName(key)} is not in the file`;
        throw new MlfsError('ERR_MLFS_STORAGE', message, { path: place.path });
      },
      storages,
    );
    this.#tensors = tensors;
  }

  override load(id: Value): Value | undefined {
    const parts = items(id);
    if (parts !== undefined) return parts[0];
    return this.#tensors.get(keyOf(id)) ?? this.storages.get(keyOf(id));
  }
}

/** Reads a member from its start: pickles, and raw bytes between them. */
class MemberCursor {
  readonly #image: Image;
  readonly #end: number;
  readonly #options: ParseOptions;
  #at: number;

  constructor(image: Image, member: TarMember, options: ParseOptions) {
    this.#image = image;
    this.#at = member.offset;
    this.#end = member.offset + member.size;
    this.#options = options;
  }

  async pickle(): Promise<Value> {
    const window = {
      start: this.#at,
      end: this.#end,
      firstBytes: FIRST_WINDOW,
      limitBytes: this.#options.limits?.pickleBytes ?? PICKLE_LIMITS.pickleBytes,
    };
    const options = { path: this.#image.path, limits: this.#options.limits };
    const read = (bytes: Buffer): Unpickled => readPickle(bytes, options);
    const { value, bytesConsumed } = await withPickleWindow(this.#image, window, read);
    this.#at += bytesConsumed;
    return value;
  }

  async bytes(length: number): Promise<Buffer> {
    return this.#image.read(this.skip(length, 'a number'), length);
  }

  /** Where the next `length` bytes are, after moving past them. */
  skip(length: number, what: string): number {
    const at = this.#at;
    if (!Number.isSafeInteger(length) || length < 0 || at + length > this.#end) {
      throw new MlfsError(
        'ERR_MLFS_TRUNCATED',
        `${this.#image.path}: ${what} has ${length} bytes at byte ${at}, and its member ends at ${this.#end}`,
        { path: this.#image.path },
      );
    }
    this.#at += length;
    return at;
  }
}

async function readMember(image: Image, member: TarMember, options: ParseOptions): Promise<Buffer> {
  const limit = options.limits?.pickleBytes ?? PICKLE_LIMITS.pickleBytes;
  if (member.size <= limit) return image.read(member.offset, member.size);
  const message = `${image.path}: its pickle has ${member.size} bytes; the limit is ${limit}`;
  throw new MlfsError('ERR_MLFS_LIMIT', message, { path: image.path });
}

function keyOf(value: Value | undefined): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint'
    ? String(value)
    : '?';
}

function noCheckpoint(image: Image, members: ReadonlyMap<string, TarMember>): MlfsError {
  const missing = MEMBERS.filter((name) => !members.has(name));
  const isTorch = missing.length < MEMBERS.length;
  const reason = isTorch
    ? `is a tar like torch's oldest checkpoints, but without the member ${missing.map((name) => quoteName(name)).join(', ')}; torch cannot load it either`
    : 'is a tar archive, not a checkpoint';
  return new MlfsError('ERR_MLFS_FORMAT', `${image.path}: ${reason}`, {
    path: image.path,
    advice: 'Unpack it if a checkpoint is inside: tar xf.',
  });
}
