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
import type { Checkpoint } from './checkpoint.ts';
import { PyDict } from './pickle/values.ts';
import { SAFETENSORS_DTYPES, torchShape } from './safetensors-dtypes.ts';
import { type HeaderTensor, parseSafetensorsHeader } from './safetensors-header.ts';
import { contiguousStride } from './strided-layout.ts';
import { DTYPES, type NamedTensor, numel, type Storage, type Tensor } from './tensor.ts';

const MAX_HEADER_BYTES = 100_000_000;

/** Throws ERR_MLFS_SAFETENSORS, ERR_MLFS_TRUNCATED or ERR_MLFS_LIMIT. Reads the header and nothing else. */
export async function openSafetensors(image: Image): Promise<Checkpoint> {
  const dataOffset = await findData(image);
  const bytes = await image.read(8, dataOffset - 8);
  const header = await parseSafetensorsHeader(bytes, image.path, 8);
  refuseHolesAndOverlaps(header.tensors, image, dataOffset);

  const root = new PyDict();
  const tensors: NamedTensor[] = [];
  const storages = new Map<string, Storage>();
  for (const entry of header.tensors) {
    const tensor = toTensor(entry, image, dataOffset);
    root.set(entry.name, tensor);
    storages.set(entry.name, tensor.storage);
    tensors.push({ path: [entry.name], tensor });
  }
  return {
    format: 'safetensors',
    path: image.path,
    image,
    root,
    tensors,
    storages,
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

function refuseHolesAndOverlaps(tensors: readonly HeaderTensor[], image: Image, dataOffset: number): void {
  const inOrder = tensors.toSorted((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const { name, begin, end } of inOrder) {
    const bad = (reason: string) =>
      refuse(image, `tensor ${quoteName(name)}, data_offsets [${begin}, ${end}]: ${reason}`);
    if (end < begin) throw bad('the end lies before the start');
    if (begin < covered) throw bad(`overlaps the tensor before it, which ends at ${covered}`);
    if (begin > covered) {
      throw bad(`there is a hole before it, the tensor before it ends at ${covered}`);
    }
    covered = end;
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

function toTensor(entry: HeaderTensor, image: Image, dataOffset: number): Tensor {
  const bad = (reason: string) => refuse(image, `tensor ${quoteName(entry.name)}: ${reason}`);
  const dtype = SAFETENSORS_DTYPES.get(entry.dtype);
  if (dtype === undefined) {
    const reason = /^F6_/.test(entry.dtype)
      ? 'packs four elements into three bytes, which no torch dtype does'
      : 'is not a dtype that MLFS knows';
    throw bad(`${bounded(entry.dtype, MAX_NAME_BYTES)} ${reason}`);
  }
  const shape = torchShape(dtype, entry.shape);
  if (shape === undefined) {
    throw bad(`shape [${entry.shape}] of ${entry.dtype} does not end in whole bytes of two elements`);
  }
  const length = entry.end - entry.begin;
  const expected = numel({ shape }) * DTYPES[dtype];
  if (length !== expected) {
    throw bad(
      `shape [${entry.shape}] of ${entry.dtype} takes ${expected} bytes, data_offsets [${entry.begin}, ${entry.end}] hold ${length}`,
    );
  }
  const storage: Storage = {
    type: 'storage',
    key: entry.name,
    dtype,
    nbytes: length,
    location: 'cpu',
    bytes: { kind: 'extent', image, offset: dataOffset + entry.begin, length },
    byteorder: 'little',
  };
  return {
    type: 'tensor',
    dtype,
    shape,
    stride: contiguousStride(shape),
    storageOffset: 0,
    storage,
    requiresGrad: false,
    isParameter: false,
  };
}

function refuse(image: Image, reason: string): MlfsError {
  return new MlfsError('ERR_MLFS_SAFETENSORS', `${image.path}: ${reason}`, { path: image.path });
}
