/**
 * Writes checkpoints that torch.load reads, with weights_only=True and mmap=True too: the object tree as a pickle, every storage as a
 * stored and aligned zip entry, in the order and with the records of torch 2.x.
 *
 *   PREFIX/data.pkl  .format_version  .storage_alignment  byteorder  data/0 …  version  .data/serialization_id
 */
import { basename, extname } from 'node:path';
import { MlfsError } from '../../errors.ts';
import { type PersistentValue, PyDict, PyGlobal, PyTuple, type Value } from '../pickle/values.ts';
import { ORDERED_DICT, type PickleWriter, writePickle } from '../pickle/writer.ts';
import { contiguousStride } from '../strided-layout.ts';
import { bytesOfElements, DTYPES, type DType, nbytes } from '../tensor.ts';

import type { Fill } from '../zip/fill.ts';
import { ZipWriter } from '../zip/writer.ts';
import { storageClassOf } from './dtype-names.ts';

/** A storage to be written; two tensors with the same one are tied. */
export interface StorageToWrite {
  readonly type: 'storage';
  readonly dtype: DType;
  readonly nbytes: number;
  readonly fill: Fill;
}

/** A tensor to be written: a view of a storage. Stride and offset in elements, contiguous from 0 by default. */
export interface TensorToWrite {
  readonly type: 'tensor';
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly storage: StorageToWrite;
  readonly stride?: readonly number[];
  readonly storageOffset?: number;
  readonly requiresGrad?: boolean;
  /** Wrap it in torch.nn.Parameter. */
  readonly isParameter?: boolean;
}

/** The plain case: a name, and bytes of its own. */
export interface NamedTensorToWrite {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly fill: Fill;
}

export interface TorchZipSpec {
  /** Any value; its tensors are TensorToWrite objects. */
  readonly root?: Value;
  /** Instead of `root`: a state dict of these, an OrderedDict in this order. */
  readonly tensors?: readonly NamedTensorToWrite[];
  /** Further records of the archive, such as `config.json`. */
  readonly records?: Readonly<Record<string, Uint8Array>>;
}

export interface TorchZipOptions {
  /** Of the storages' bytes in the file: 64 as torch, or 4096 for mappings without a delta. */
  readonly alignment?: number;
  /** The folder in the archive; torch takes the file's name. */
  readonly prefix?: string;
}

export interface WrittenTorchZip {
  readonly size: number;
  /** Storage key → where its bytes start in the file, how many there are, and their CRC-32. */
  readonly storages: ReadonlyMap<string, { offset: number; nbytes: number; crc32: number }>;
}

const REBUILD_V2 = new PyGlobal('torch._utils', '_rebuild_tensor_v2');
/** Takes the dtype as its last argument: for those without a storage class. */
const REBUILD_V3 = new PyGlobal('torch._utils', '_rebuild_tensor_v3');
const REBUILD_PARAMETER = new PyGlobal('torch._utils', '_rebuild_parameter');
const UNTYPED_STORAGE = new PyGlobal('torch.storage', 'UntypedStorage');

/** A contiguous tensor with a storage of its own. */
export function tensorToWrite(
  dtype: DType,
  shape: readonly number[],
  fill: Fill,
  more: Partial<TensorToWrite> = {},
): TensorToWrite {
  const storage: StorageToWrite = { type: 'storage', dtype, nbytes: nbytes({ dtype, shape }), fill };
  return { type: 'tensor', dtype, shape, storage, ...more };
}

/** Writes a .pt. The file appears, or replaces another, when it is complete; after a failure nothing is left. */
export async function writeTorchZip(
  path: string,
  spec: TorchZipSpec,
  options: TorchZipOptions = {},
): Promise<WrittenTorchZip> {
  const alignment = options.alignment ?? 64;
  if (!Number.isInteger(alignment) || alignment < 1 || alignment > 32768) {
    throw new MlfsError('ERR_MLFS_USAGE', `an alignment of ${alignment} bytes is not between 1 and 32768`);
  }
  const prefix = options.prefix ?? (basename(path, extname(path)) || 'archive');
  const storages = new Map<StorageToWrite, string>();
  const pickle = writePickle(spec.root ?? stateDict(spec.tensors ?? []), (value, writer) =>
    writePersistent(value, writer, storages),
  );
  const zip = await ZipWriter.create(path, alignment);
  try {
    const written = new Map<string, { offset: number; nbytes: number; crc32: number }>();
    const text = (name: string, content: string) => record(zip, `${prefix}/${name}`, Buffer.from(content));
    await record(zip, `${prefix}/data.pkl`, pickle);
    await text('.format_version', '1');
    await text('.storage_alignment', String(alignment));
    await text('byteorder', 'little');
    for (const [storage, key] of storages) {
      const entry = await zip.add(`${prefix}/data/${key}`, storage.nbytes, storage.fill);
      written.set(key, { ...entry, nbytes: storage.nbytes });
    }
    for (const [name, bytes] of Object.entries(spec.records ?? {}))
      await record(zip, `${prefix}/${name}`, bytes);
    await text('version', '3\n');
    await text('.data/serialization_id', serializationId([...written.values()].map(({ crc32 }) => crc32)));
    return { size: await zip.finish(), storages: written };
  } catch (cause) {
    await zip.abort();
    throw cause;
  }
}

function record(zip: ZipWriter, name: string, bytes: Uint8Array) {
  return zip.add(name, bytes.byteLength, bytes);
}

function stateDict(tensors: readonly NamedTensorToWrite[]): PyDict {
  const dict = new PyDict();
  dict.className = ORDERED_DICT.path;
  for (const { name, dtype, shape, fill } of tensors) dict.set(name, tensorToWrite(dtype, shape, fill));
  return dict;
}

function writePersistent(
  value: PersistentValue,
  pickle: PickleWriter,
  storages: Map<StorageToWrite, string>,
): void {
  if (value.type === 'storage') {
    writeStorage(value as StorageToWrite, pickle, storages);
    return;
  }
  const tensor = value as TensorToWrite;
  if (tensor.isParameter !== true) {
    writeTensor(tensor, tensor, pickle, storages);
    return;
  }
  // A Parameter's data is a tensor of its own that needs no gradient.
  const parts = [
    () => writeTensor({ ...tensor, requiresGrad: false }, {}, pickle, storages),
    () => pickle.write(tensor.requiresGrad ?? true),
    () => pickle.reduce(ORDERED_DICT, [], {}),
  ];
  pickle.reduce(REBUILD_PARAMETER, parts, tensor);
}

function writeTensor(
  tensor: TensorToWrite,
  identity: unknown,
  pickle: PickleWriter,
  storages: Map<StorageToWrite, string>,
): void {
  checkView(tensor);
  const typed = storageClassOf(tensor.dtype) !== undefined;
  const parts = [
    () => writeStorage(tensor.storage, pickle, storages),
    () => pickle.write(tensor.storageOffset ?? 0),
    () => pickle.write(new PyTuple(tensor.shape)),
    () => pickle.write(new PyTuple(tensor.stride ?? contiguousStride(tensor.shape))),
    () => pickle.write(tensor.requiresGrad ?? false),
    () => pickle.reduce(ORDERED_DICT, [], {}),
    ...(typed ? [] : [() => pickle.write(new PyGlobal('torch', tensor.dtype))]),
  ];
  pickle.reduce(typed ? REBUILD_V2 : REBUILD_V3, parts, identity);
}

/** ('storage', class, key, location, numel); the untyped class counts bytes. */
function writeStorage(
  storage: StorageToWrite,
  pickle: PickleWriter,
  storages: Map<StorageToWrite, string>,
): void {
  const key = storages.get(storage) ?? String(storages.size);
  storages.set(storage, key);
  const className = storageClassOf(storage.dtype);
  const type = className === undefined ? UNTYPED_STORAGE : new PyGlobal('torch', className);
  const numel = className === undefined ? storage.nbytes : storage.nbytes / DTYPES[storage.dtype];
  if (!Number.isSafeInteger(numel)) {
    throw new MlfsError(
      'ERR_MLFS_USAGE',
      `a storage of ${storage.nbytes} bytes holds no whole ${storage.dtype}s`,
    );
  }
  pickle.persistentId(new PyTuple(['storage', type, key, 'cpu', numel]));
}

function checkView({
  shape,
  stride = contiguousStride(shape),
  storageOffset = 0,
  dtype,
  storage,
}: TensorToWrite): void {
  const last = shape.reduce((sum, size, dim) => sum + (size - 1) * (stride[dim] ?? 0), storageOffset);
  const end = shape.includes(0) ? 0 : bytesOfElements(dtype, last + 1);
  if (shape.length === stride.length && end <= storage.nbytes) return;
  throw new MlfsError(
    'ERR_MLFS_USAGE',
    `a ${dtype} of shape [${shape}], stride [${stride}] and offset ${storageOffset} leaves its storage of ${storage.nbytes} bytes`,
  );
}

/** 40 digits that name the contents; torch hashes names and CRCs into them and compares them with nothing. */
function serializationId(crcs: readonly number[]): string {
  const digits = crcs.reduce((id, crc) => (id * 4294967291n + BigInt(crc)) % 10n ** 40n, BigInt(crcs.length));
  return digits.toString().padStart(40, '0');
}
