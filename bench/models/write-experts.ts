/**
 * Writes the model of `expert-names.ts` in one file: with tiny tensors for walks, or with the published shapes as a sparse file of 690 GB that
 * takes some hundred MB of disk. Everything is zeros, except the last bytes of the last tensor.
 */
import { open } from 'node:fs/promises';
import { PyDict } from '../../src/checkpoint/pickle/values.ts';
import { nbytes } from '../../src/checkpoint/tensor.ts';
import { tensorToWrite, writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import type { Fill } from '../../src/checkpoint/zip/fill.ts';
import { type ExpertTensor, expertTensors } from './expert-names.ts';

export interface WrittenExperts {
  readonly size: number;
  readonly count: number;
  readonly first: PlacedTensor;
  readonly last: PlacedTensor;
}

/** A tensor and where its bytes are in the file. */
export interface PlacedTensor extends ExpertTensor {
  readonly offset: number;
  readonly length: number;
}

export interface ExpertsOptions {
  readonly tensors?: number;
  /** Tiny tensors instead of the published shapes. */
  readonly small?: boolean;
}

/** The last bytes of the last tensor. */
export const MARK: Buffer = Buffer.from('<<the far end>>.');

const SAFETENSORS_DTYPES: Readonly<Record<string, string>> = {
  bfloat16: 'BF16',
  float32: 'F32',
  float8_e4m3fn: 'F8_E4M3',
};
const HEADER_LENGTH_BYTES = 8;
const HEADER_ALIGNMENT = 8;

/** As torch.save writes it. */
export async function writeExpertsPt(file: string, options: ExpertsOptions): Promise<WrittenExperts> {
  const tensors = [...expertTensors(options)];
  const root = new PyDict();
  root.className = 'collections.OrderedDict';
  for (const tensor of tensors) {
    const isLast = tensor === tensors.at(-1);
    root.set(
      tensor.name,
      tensorToWrite(tensor.dtype, tensor.shape, isLast ? marked(tensor) : 'sparse-zeros'),
    );
  }
  const { size, storages } = await writeTorchZip(file, { root }, { prefix: 'model' });
  const placed = (index: number): PlacedTensor => {
    const [tensor, storage] = [tensors[index], storages.get(String(index))];
    if (!tensor || !storage) throw new Error(`${file}: was written without tensor ${index}`);
    return { ...tensor, offset: storage.offset, length: storage.nbytes };
  };
  return { size, count: tensors.length, first: placed(0), last: placed(tensors.length - 1) };
}

function marked(tensor: ExpertTensor): Fill {
  return { ranges: [{ offset: nbytes(tensor) - MARK.length, bytes: MARK }] };
}

/** As the library safetensors writes it: one JSON header, and the tensors one behind the other. */
export async function writeExpertsSafetensors(
  file: string,
  options: ExpertsOptions,
): Promise<WrittenExperts> {
  const header: Record<string, unknown> = {};
  const placed: PlacedTensor[] = [];
  let end = 0;
  for (const tensor of expertTensors(options)) {
    const length = nbytes(tensor);
    const { name, shape, dtype } = tensor;
    placed.push({ ...tensor, offset: end, length });
    header[name] = { dtype: SAFETENSORS_DTYPES[dtype], shape, data_offsets: [end, end + length] };
    end += length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padding = Buffer.alloc((HEADER_ALIGNMENT - (text.length % HEADER_ALIGNMENT)) % HEADER_ALIGNMENT, ' ');
  const length = Buffer.alloc(HEADER_LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(text.length + padding.length));
  const dataStart = length.length + text.length + padding.length;
  const handle = await open(file, 'wx');
  try {
    await handle.writev([length, text, padding]);
    await handle.truncate(dataStart + end);
    await handle.write(MARK, 0, MARK.length, dataStart + end - MARK.length);
  } finally {
    await handle.close();
  }
  const inFile = (tensor: PlacedTensor | undefined): PlacedTensor => {
    if (!tensor) throw new Error(`${file}: was written without a tensor`);
    return { ...tensor, offset: dataStart + tensor.offset };
  };
  return {
    size: dataStart + end,
    count: placed.length,
    first: inFile(placed[0]),
    last: inFile(placed.at(-1)),
  };
}
