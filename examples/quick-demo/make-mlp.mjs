// Writes a small multilayer perceptron's state dict as torch.save would: node make-mlp.mjs FILE
import { writeTorchZip } from '../../dist/checkpoint/torch/writer.js';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: node make-mlp.mjs FILE');

const layer = (name, shape) => {
  const count = shape.reduce((product, size) => product * size, 1);
  const values = Float32Array.from({ length: count }, (_, index) => Math.sin(index) / 10);
  return { name, dtype: 'float32', shape, fill: Buffer.from(values.buffer) };
};

await writeTorchZip(path, {
  tensors: [
    layer('embed.weight', [256, 32]),
    layer('layers.0.linear.weight', [64, 32]),
    layer('layers.0.linear.bias', [64]),
    layer('layers.1.linear.weight', [10, 64]),
    layer('layers.1.linear.bias', [10]),
  ],
});
