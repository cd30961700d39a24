// Writes a checkpoint with one large float32 tensor, sparse on the disk: node make-large.mjs FILE MIB
import { writeTorchZip } from '../../dist/checkpoint/torch/writer.js';

const [path, mebibytes] = process.argv.slice(2);
if (mebibytes === undefined) throw new Error('usage: node make-large.mjs FILE MIB');

const size = Number(mebibytes) * 2 ** 20;
const bytes = Buffer.from(Float32Array.of(1, 2, 3).buffer);
// At the beginning, in the middle and at the end; everything else is zero.
const ranges = [0, size / 2, size - bytes.length].map((offset) => ({ offset, bytes }));
await writeTorchZip(path, {
  tensors: [{ name: 'embedding', dtype: 'float32', shape: [size / 4], fill: { ranges } }],
});
