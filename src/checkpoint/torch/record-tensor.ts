import { MlfsError } from '../../errors.ts';
import type { Image } from '../../storage/image.ts';
import { quoteName } from '../../visible-text.ts';
import { PyTuple } from '../pickle/values.ts';
import { DTYPES, type DType } from '../tensor.ts';
import type { ArchiveLayout } from './archive-layout.ts';
import { StorageMap } from './storage-map.ts';
import { TorchStorage } from './storage-table.ts';
import { checkGeometry, GeometryFault } from './tensor-geometry.ts';
import { TorchTensor } from './torch-tensor.ts';
import { entryBytes } from './zip-storages.ts';

/** A tensor that a JSON document describes, over one record of the archive. */
export interface RecordTensor {
  readonly name: string;
  /** The record, without the archive's folder. */
  readonly record: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  readonly requiresGrad: boolean;
  readonly isParameter: boolean;
  readonly location: string;
}

/** The tensors of an archive whose storages are whole records. Two tensors of one record share its storage. */
export class RecordTensors {
  readonly storages = new StorageMap<TorchStorage>();
  readonly #image: Image;
  readonly #layout: ArchiveLayout;
  readonly #byteorder: 'little' | 'big';

  constructor(image: Image, layout: ArchiveLayout, byteorder: 'little' | 'big') {
    this.#image = image;
    this.#layout = layout;
    this.#byteorder = byteorder;
  }

  /** Throws ERR_MLFS_STORAGE when the record is not there, ERR_MLFS_TENSOR when the tensor leaves it. */
  make(tensor: RecordTensor): TorchTensor {
    const storage = this.#storage(tensor);
    const { storageOffset, shape, stride, dtype } = tensor;
    try {
      const geometry = checkGeometry(
        storageOffset,
        new PyTuple(shape),
        new PyTuple(stride),
        dtype,
        storage.nbytes,
      );
      return new TorchTensor({ ...geometry, dtype, storage }, tensor.requiresGrad, tensor.isParameter);
    } catch (cause) {
      if (!(cause instanceof GeometryFault)) throw cause;
      throw this.#refuse('ERR_MLFS_TENSOR', `tensor ${quoteName(tensor.name)}: ${cause.message}`);
    }
  }

  #storage({ name, record, dtype, location }: RecordTensor): TorchStorage {
    const known = this.storages.get(record);
    if (known !== undefined) return known;
    const entry = this.#layout.records.get(record);
    if (entry === undefined) {
      const missing = quoteName(this.#layout.prefix + record);
      throw this.#refuse(
        'ERR_MLFS_STORAGE',
        `tensor ${quoteName(name)} is in entry ${missing}, which is not there`,
      );
    }
    const nbytes = entry.size - (entry.size % DTYPES[dtype]);
    const storage = new TorchStorage({
      key: record,
      dtype,
      nbytes,
      location,
      bytes: entryBytes(this.#image, entry, entry.size),
      byteorder: this.#byteorder,
    });
    this.storages.add(storage);
    return storage;
  }

  #refuse(code: 'ERR_MLFS_STORAGE' | 'ERR_MLFS_TENSOR', reason: string): MlfsError {
    return new MlfsError(code, `${this.#image.path}: ${reason}`, { path: this.#image.path });
  }
}
