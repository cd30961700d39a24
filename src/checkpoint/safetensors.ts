/**
 * safetensors: a u64 header length, a JSON header that maps names to dtype, shape and offsets, then the tensors' bytes.
 *
 *   0      u64   N, the header's length, at most 100,000,000
 *   8      N     JSON, UTF-8, padded with spaces
 *   8+N          data; data_offsets count from here
 *
 * The rules are the safetensors project's own: the tensors cover the data section without holes or overlaps and end with the
 * file, every tensor has exactly the bytes that its dtype and shape need, and no key occurs twice. Each tensor has its own storage.
 */
import { MlfsError } from '../errors.ts';
import type { Image } from '../storage/image.ts';
import { bounded, MAX_NAME_BYTES, quoteName } from '../visible-text.ts';
import type { Checkpoint, Storages } from './checkpoint.ts';
import { TreeTensor } from './object-tree.ts';
import type { PyDict } from './pickle/values.ts';
import { SAFETENSORS_DTYPES, torchShape } from './safetensors-dtypes.ts';
import { type HeaderTensors, parseSafetensorsHeader } from './safetensors-header.ts';
import { contiguousStride } from './strided-layout.ts';
import { DTYPES, type NamedTensor, numel, type Storage, type Tensor } from './tensor.ts';
import { TorchStorage } from './torch/storage-table.ts';
import { TorchTensor } from './torch/torch-tensor.ts';

const MAX_HEADER_BYTES = 100_000_000;

/** Throws ERR_MLFS_SAFETENSORS, ERR_MLFS_TRUNCATED or ERR_MLFS_LIMIT. Reads the header and nothing else. */
export async function openSafetensors(image: Image): Promise<Checkpoint> {
  const dataOffset = await findData(image);
  const bytes = await image.read(8, dataOffset - 8);
  const header = await parseSafetensorsHeader(bytes, image.path, 8);
  refuseHolesAndOverlaps(header.tensors, image, dataOffset);

  const root = header.tensors.byName;
  const tensors: NamedTensor[] = [];
  const made = new TensorMaker(image, dataOffset);
  for (const [index, entry] of root.entries.entries()) {
    const name = entry[0] as string;
    const tensor = made.tensor(name, header.tensors, index);
    entry[1] = tensor;
    tensors.push(new TreeTensor([], name, tensor));
  }
  return {
    format: 'safetensors',
    path: image.path,
    image,
    root,
    tensors,
    storages: new StoragesOf(root),
    entries: [],
    unknownGlobals: [],
    warnings: [],
    metadata: header.metadata,
    close: () => image.close(),
  };
}

async function findData(image: Image): Promise<number> {
  const { path, size } = image;
  if (size < 8) {
    throw new MlfsError(
      'ERR_MLFS_TRUNCATED',
      `${path}: a safetensors file starts with a header length of 8 bytes, and this one has ${size}`,
      { path },
    );
  }
  // offset 0: length of the header, u64
  const length = (await image.read(0, 8)).readBigUInt64LE(0);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw refuse(image, `declares a header of ${length} bytes; the format allows ${MAX_HEADER_BYTES}`);
  }
  const dataOffset = 8 + Number(length);
  if (dataOffset > size) {
    throw new MlfsError(
      'ERR_MLFS_TRUNCATED',
      `${path}: the header ends at byte ${dataOffset}, but the file at ${size}`,
      { path },
    );
  }
  return dataOffset;
}

function refuseHolesAndOverlaps(tensors: HeaderTensors, image: Image, dataOffset: number): void {
  const { begins, ends } = tensors;
  let covered = 0;
  for (const index of inOrderOfData(tensors)) {
    const begin = begins[index] as number;
    const end = ends[index] as number;
    if (begin === covered && end >= begin) {
      covered = end;
      continue;
    }
    const name = tensors.byName.entries[index]?.[0] as string;
    const bad = (reason: string) =>
      refuse(image, `tensor ${quoteName(name)}, data_offsets [${begin}, ${end}]: ${reason}`);
    if (end < begin) throw bad('the end lies before the start');
    if (begin < covered) throw bad(`overlaps the tensor before it, which ends at ${covered}`);
    throw bad(`there is a hole before it, the tensor before it ends at ${covered}`);
  }
  const end = dataOffset + covered;
  if (end > image.size) {
    throw new MlfsError(
      'ERR_MLFS_TRUNCATED',
      `${image.path}: the tensors end at byte ${end}, but the file at ${image.size}`,
      {
        path: image.path,
        advice: 'Copy or download the file again and compare its size.',
      },
    );
  }
  if (end < image.size) {
    throw refuse(image, `the tensors end at byte ${end} and do not cover the file, which has ${image.size}`);
  }
}

/** The places of the tensors in the order of their bytes: mostly that of the header. */
function inOrderOfData({ begins, ends }: HeaderTensors): Uint32Array {
  const order = Uint32Array.from({ length: begins.length }, (_, index) => index);
  const compare = (a: number, b: number) =>
    (begins[a] as number) - (begins[b] as number) || (ends[a] as number) - (ends[b] as number);
  for (let index = 1; index < order.length; index++) {
    if (compare(index - 1, index) > 0) return order.sort(compare);
  }
  return order;
}

/** Makes the tensors of one file. Equal shapes are one array, and so are their strides. */
class TensorMaker {
  readonly #image: Image;
  readonly #dataOffset: number;
  #lastShape: readonly number[] = [];
  #lastStride: readonly number[] = [];

  constructor(image: Image, dataOffset: number) {
    this.#image = image;
    this.#dataOffset = dataOffset;
  }

  tensor(name: string, { dtypes, shapes, begins, ends }: HeaderTensors, index: number): TorchTensor {
    const image = this.#image;
    const dtypeName = dtypes[index] as string;
    const numbers = shapes[index] as readonly number[];
    const begin = begins[index] as number;
    const end = ends[index] as number;
    const bad = (reason: string) => refuse(image, `tensor ${quoteName(name)}: ${reason}`);
    const dtype = SAFETENSORS_DTYPES.get(dtypeName);
    if (dtype === undefined) {
      const reason = /^F6_/.test(dtypeName)
        ? 'packs four elements into three bytes, which no torch dtype does'
        : 'is not a dtype that MLFS knows';
      throw bad(`${bounded(dtypeName, MAX_NAME_BYTES)} ${reason}`);
    }
    const shape = torchShape(dtype, numbers);
    if (shape === undefined) {
      throw bad(`shape [${numbers}] of ${dtypeName} does not end in whole bytes of two elements`);
    }
    const length = end - begin;
    const expected = numel({ shape }) * DTYPES[dtype];
    if (length !== expected) {
      throw bad(
        `shape [${numbers}] of ${dtypeName} takes ${expected} bytes, data_offsets [${begin}, ${end}] hold ${length}`,
      );
    }
    const storage = new TorchStorage({
      key: name,
      dtype,
      nbytes: length,
      location: 'cpu',
      bytes: { kind: 'extent', image, offset: this.#dataOffset + begin, length },
      byteorder: 'little',
    });
    const stride = this.#strideOf(shape);
    return new TorchTensor({ dtype, shape, stride, storageOffset: 0, storage }, false);
  }

  #strideOf(shape: readonly number[]): readonly number[] {
    if (shape !== this.#lastShape) {
      this.#lastShape = shape;
      this.#lastStride = contiguousStride(shape);
    }
    return this.#lastStride;
  }
}

/** The storages of a dict of tensors, each of which has one of its own: their keys are the tensors' names. */
class StoragesOf implements Storages {
  readonly #tensors: PyDict;

  constructor(tensors: PyDict) {
    this.#tensors = tensors;
  }

  get size(): number {
    return this.#tensors.entries.length;
  }

  get(key: string): Storage | undefined {
    return (this.#tensors.get(key) as Tensor | undefined)?.storage;
  }

  has(key: string): boolean {
    return this.#tensors.get(key) !== undefined;
  }

  *keys(): Generator<string> {
    for (const [name] of this.#tensors.entries) yield name as string;
  }

  *values(): Generator<Storage> {
    for (const [, tensor] of this.#tensors.entries) yield (tensor as Tensor).storage;
  }

  *[Symbol.iterator](): Generator<[key: string, storage: Storage]> {
    for (const storage of this.values()) yield [storage.key, storage];
  }
}

function refuse(image: Image, reason: string): MlfsError {
  return new MlfsError('ERR_MLFS_SAFETENSORS', `${image.path}: ${reason}`, { path: image.path });
}
