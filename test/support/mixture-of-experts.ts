/**
 * A checkpoint with the names and the number of tensors of a large mixture-of-experts model (DeepSeek-V3 has 91,991), and small shapes. Its
 * bytes are a hole in the file.
 */
import { open } from 'node:fs/promises';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';

/** Bytes of each tensor: 4 × 8 numbers of two bytes. */
const SHAPE: readonly number[] = [4, 8];
const TENSOR_BYTES = 64;
const PER_EXPERT = ['gate_proj', 'up_proj', 'down_proj'].flatMap((part) => [
  `${part}.weight`,
  `${part}.weight_scale_inv`,
]);
const EXPERTS = 256;

/** The first `count` names: 256 experts in each layer, six tensors in each expert. */
export function expertNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const expert = Math.floor(index / PER_EXPERT.length);
    const layer = Math.floor(expert / EXPERTS) + 3;
    return `model.layers.${layer}.mlp.experts.${expert % EXPERTS}.${PER_EXPERT[index % PER_EXPERT.length]}`;
  });
}

/** Writes the model as torch.save would write its state dict. */
export async function writeExpertsPt(path: string, count: number): Promise<void> {
  await writeTorchZip(path, {
    tensors: expertNames(count).map((name) => ({
      name,
      dtype: 'bfloat16',
      shape: SHAPE,
      fill: 'sparse-zeros',
    })),
  });
}

/** Writes the model as a safetensors file. */
export async function writeExpertsSafetensors(path: string, count: number): Promise<void> {
  const tensors = expertNames(count).map((name, index) => {
    const offsets = [index * TENSOR_BYTES, (index + 1) * TENSOR_BYTES];
    return `${JSON.stringify(name)}:{"dtype":"BF16","shape":${JSON.stringify(SHAPE)},"data_offsets":${JSON.stringify(offsets)}}`;
  });
  const json = Buffer.from(`{"__metadata__":{"format":"pt"},${tensors.join(',')}}`);
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8));
  json.copy(header, 8);
  const file = await open(path, 'w');
  try {
    await file.writeFile(header);
    await file.truncate(header.length + count * TENSOR_BYTES);
  } finally {
    await file.close();
  }
}
