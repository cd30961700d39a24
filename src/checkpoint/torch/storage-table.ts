import { MlfsError } from '../../errors.ts';
import { bounded, MAX_NAME_BYTES, quoteName } from '../../visible-text.ts';
import { items } from '../pickle/builtin-reconstructors.ts';
import { type PicklePlace, placeName } from '../pickle/refusal.ts';
import { PyGlobal, PyTuple, type Value } from '../pickle/values.ts';
import { DTYPES, type DType, type Storage, type StorageBytes } from '../tensor.ts';
import { CountedKeys } from './counted-keys.ts';
import { storageClass } from './dtype-names.ts';
import { StorageMap } from './storage-map.ts';

/** A storage whose bytes may be found after the pickle that names it was read (legacy files). */
export class TorchStorage implements Storage {
  readonly type = 'storage';
  readonly key: string;
  readonly dtype: DType | undefined;
  readonly nbytes: number;
  readonly location: string;
  bytes: StorageBytes;
  readonly byteorder: 'little' | 'big';
  mark = 0;

  constructor(fields: Omit<Storage, 'type'>) {
    this.key = fields.key;
    this.dtype = fields.dtype;
    this.nbytes = fields.nbytes;
    this.location = fields.location;
    this.bytes = fields.bytes;
    this.byteorder = fields.byteorder;
  }
}

/** A view that a legacy persistent id makes: `nbytes` of storage `root` from `offsetBytes` on. */
export interface StorageView {
  readonly view: TorchStorage;
  readonly root: TorchStorage;
  readonly offsetBytes: number;
}

/** The contents of a storage's persistent id. */
export interface StorageRequest {
  readonly key: string;
  readonly nbytes: number;
  readonly location: string;
}

export interface LocatedStorage {
  readonly bytes: StorageBytes;
  /** The folder of its entry: it is `constants/0` in the checkpoint when another storage is `0` already. */
  readonly folder?: string;
}

/** Finds the bytes of a storage. Throws ERR_MLFS_STORAGE when they are not there or not as many. */
export type StorageLocator = (request: StorageRequest) => LocatedStorage;

/**
 * The storages of one pickle, by the keys of its persistent ids. `storages` are those of the whole checkpoint by keys that
 * are unique in it, with `keyPrefix` before them: the pickles of one archive share the map.
 */
export class StorageTable {
  readonly storages: StorageMap<TorchStorage>;
  readonly #byId = new CountedKeys<TorchStorage>();
  readonly views: StorageView[] = [];
  readonly #place: PicklePlace;
  readonly #byteorder: 'little' | 'big';
  readonly #keyPrefix: string;
  readonly #locate: StorageLocator;
  /** A storage requested with a second class keeps one identity: this maps the typed alias to it. */
  readonly #aliases = new Map<TorchStorage, TorchStorage>();
  #lastClass: PyGlobal | undefined;
  #lastKind: DType | 'untyped' | undefined;
  #metaCount = 0;
  #insideCount = 0;

  constructor(
    place: PicklePlace,
    byteorder: 'little' | 'big',
    locate: StorageLocator,
    storages = new StorageMap<TorchStorage>(),
    keyPrefix = '',
  ) {
    this.#keyPrefix = keyPrefix;
    this.storages = storages;
    this.#place = place;
    this.#byteorder = byteorder;
    this.#locate = locate;
  }

  /**
   * torch's persistent_load: `('storage', class, key, location, numel)`, with a view's `(key, offset, numel)` in legacy files;
   * `('module', class, file, source)` stands for the class.
   */
  load(id: Value): Value | undefined {
    const parts = items(id);
    if (parts?.[0] === 'module' && parts[1] instanceof PyGlobal) return parts[1];
    if (parts?.[0] !== 'storage') return undefined;
    const [, cls, rawKey, location, numel, viewMetadata] = parts;
    const root = this.request(cls, rawKey, location, numel);
    return viewMetadata instanceof PyTuple ? this.#view(root, viewMetadata, this.#itemsizeOf(cls)) : root;
  }

  /** The storage of `('storage', class, key, location, numel)`. */
  request(
    cls: Value | undefined,
    rawKey: Value | undefined,
    rawLocation: Value | undefined,
    numel: Value | undefined,
  ): TorchStorage {
    const key = typeof rawKey === 'number' || typeof rawKey === 'bigint' ? String(rawKey) : rawKey;
    const kind = this.#kindOf(cls);
    if (typeof key !== 'string') throw this.#refuse('a storage without a key');
    if (kind === undefined) {
      const name = cls instanceof PyGlobal ? bounded(cls.path, MAX_NAME_BYTES) : 'no class';
      throw this.#refuse(`storage ${quoteName(key)} is of an unknown class, ${name}`);
    }
    const nbytes = this.#bytesOf(numel, this.#itemsizeOf(cls), key);
    const location = typeof rawLocation === 'string' ? rawLocation : 'cpu';
    return this.#storage(key, kind === 'untyped' ? undefined : kind, nbytes, location);
  }

  #kindOf(cls: Value | undefined): DType | 'untyped' | undefined {
    if (!(cls instanceof PyGlobal)) return undefined;
    // Nearly all storages are of the class of the one before.
    if (this.#lastClass !== cls) {
      this.#lastClass = cls;
      this.#lastKind = storageClass(cls.module, cls.name);
    }
    return this.#lastKind;
  }

  #itemsizeOf(cls: Value | undefined): number {
    const kind = this.#kindOf(cls);
    return kind === undefined || kind === 'untyped' ? 1 : DTYPES[kind];
  }

  /** The storage of a persistent id's key, once the pickle has named it. */
  byId(key: string): TorchStorage | undefined {
    return this.#byId.get(key);
  }

  /** The one storage behind a key, whichever class it was requested with. */
  canonical(storage: TorchStorage): TorchStorage {
    return this.#aliases.get(storage) ?? storage;
  }

  /** A storage that is in no file: of a meta tensor. */
  absent(dtype: DType, nbytes: number, location: string, reason: string): TorchStorage {
    const key = `${location}:${this.#metaCount++}`;
    const bytes: StorageBytes = { kind: 'absent', reason };
    const storage = new TorchStorage({ key, dtype, nbytes, location, bytes, byteorder: this.#byteorder });
    this.storages.add(storage);
    return storage;
  }

  /** A storage whose bytes lie in the pickle itself. */
  inside(dtype: DType, nbytes: number, bytes: StorageBytes, byteorder: 'little' | 'big'): TorchStorage {
    // Keys are whatever a file says: some may be taken.
    while (this.storages.has(`${this.#keyPrefix}numpy:${this.#insideCount}`)) this.#insideCount++;
    const key = `${this.#keyPrefix}numpy:${this.#insideCount++}`;
    const storage = new TorchStorage({ key, dtype, nbytes, location: 'cpu', bytes, byteorder });
    this.storages.add(storage);
    return storage;
  }

  #storage(key: string, dtype: DType | undefined, nbytes: number, location: string): TorchStorage {
    const known = this.#byId.get(key) ?? this.#locateNew(key, dtype, nbytes, location);
    if (known.nbytes !== nbytes) {
      throw this.#refuse(`storage ${quoteName(key)} has ${known.nbytes} bytes and ${nbytes} bytes`);
    }
    if (known.dtype === dtype) return known;
    const alias = new TorchStorage({ ...known, dtype });
    this.#aliases.set(alias, known);
    return alias;
  }

  #locateNew(key: string, dtype: DType | undefined, nbytes: number, location: string): TorchStorage {
    const { bytes, folder } = this.#locate({ key, nbytes, location });
    let unique = this.#keyPrefix + key;
    let storage = this.storages.get(unique);
    if (storage !== undefined && !isSameRun(storage.bytes, bytes)) {
      unique = `${this.#keyPrefix}${folder}/${key}`;
      storage = this.storages.get(unique);
      if (storage !== undefined && !isSameRun(storage.bytes, bytes))
        throw this.#refuse(`storage ${quoteName(key)} is there twice`);
    }
    if (storage === undefined) {
      storage = new TorchStorage({ key: unique, dtype, nbytes, location, bytes, byteorder: this.#byteorder });
      this.storages.add(storage);
    }
    this.#byId.set(key, storage);
    return storage;
  }

  #view(root: TorchStorage, metadata: PyTuple, itemsize: number): TorchStorage {
    const [rawKey, offset, numel] = metadata.items;
    const key = typeof rawKey === 'number' || typeof rawKey === 'bigint' ? String(rawKey) : rawKey;
    if (typeof key !== 'string') throw this.#refuse(`a view of storage ${quoteName(root.key)} without a key`);
    const known = this.#byId.get(key);
    if (known !== undefined) return known;
    const offsetBytes = this.#bytesOf(offset, itemsize, key);
    const nbytes = this.#bytesOf(numel, itemsize, key);
    if (offsetBytes + nbytes > root.nbytes) {
      throw this.#refuse(
        `view ${quoteName(key)} is bytes ${offsetBytes} to ${offsetBytes + nbytes} of storage ${quoteName(root.key)}, which has ${root.nbytes}`,
      );
    }
    const unique = this.#keyPrefix + key;
    const view = new TorchStorage({ ...root, key: unique, nbytes });
    this.storages.add(view);
    this.#byId.set(key, view);
    this.views.push({ view, root: this.canonical(root), offsetBytes });
    return view;
  }

  #bytesOf(count: Value | undefined, itemsize: number, key: string): number {
    const nbytes = typeof count === 'number' ? count * itemsize : Number.NaN;
    if (!Number.isSafeInteger(nbytes) || nbytes < 0) {
      throw this.#refuse(`storage ${quoteName(key)} has ${String(count)} elements of ${itemsize} bytes`);
    }
    return nbytes;
  }

  #refuse(reason: string): MlfsError {
    return new MlfsError('ERR_MLFS_STORAGE', `${placeName(this.#place)}: ${reason}`, {
      path: this.#place.path,
    });
  }
}

function isSameRun(a: StorageBytes, b: StorageBytes): boolean {
  if (a.kind === 'absent' || b.kind === 'absent') return a.kind === b.kind;
  if (a.kind === 'decoded' || b.kind === 'decoded') return a === b;
  return a.offset === b.offset && a.length === b.length;
}
