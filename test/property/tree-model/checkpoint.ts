import { PyDict } from '../../../src/checkpoint/pickle/values.ts';
import {
  type StorageToWrite,
  type TensorToWrite,
  writeTorchZip,
} from '../../../src/checkpoint/torch/writer.ts';

export const STORAGES: ReadonlyMap<string, Buffer> = new Map([
  ['0', Buffer.from(Array.from({ length: 32 }, (_, index) => index))],
  ['1', Buffer.from(Array.from({ length: 24 }, (_, index) => 100 + index))],
]);

/** Writes the checkpoint that the model is of, and says where its storages lie in it. */
export async function writeCheckpoint(path: string): Promise<ReadonlyMap<string, number>> {
  const [first, second] = [...STORAGES.values()].map(
    (fill): StorageToWrite => ({ type: 'storage', dtype: 'uint8', nbytes: fill.length, fill }),
  ) as [StorageToWrite, StorageToWrite];
  const root = new PyDict();
  const add = (name: string, more: Pick<TensorToWrite, 'storage' | 'shape'> & Partial<TensorToWrite>) => {
    // Marked as parameters, each has a gradient beside it.
    const tensor: TensorToWrite = { type: 'tensor', dtype: 'uint8', requiresGrad: true, ...more };
    root.set(name, tensor);
  };
  add('a', { storage: first, shape: [24] });
  add('b', { storage: first, shape: [24], storageOffset: 8 });
  add('t', { storage: first, shape: [4, 6], stride: [1, 4] });
  add('c', { storage: second, shape: [24] });
  add('e', { storage: second, shape: [3, 8], stride: [0, 1] });
  const { storages } = await writeTorchZip(path, { root });
  return new Map([...storages].map(([key, { offset }]) => [key, offset]));
}
