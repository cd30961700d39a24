// Two steps of one training run: node make-steps.mjs BEFORE AFTER. Most layers are frozen; the head and one block learned.
import { writeTorchZip } from '../../dist/checkpoint/torch/writer.js';

const [before, after] = process.argv.slice(2);
if (after === undefined) throw new Error('usage: node make-steps.mjs BEFORE AFTER');

const shapes = {
  'embed.weight': [4096, 256],
  ...Object.fromEntries(Array.from({ length: 8 }, (_, layer) => [`blocks.${layer}.weight`, [256, 256]])),
  'head.weight': [64, 256],
  'head.bias': [64],
};
const learned = new Set(['head.weight', 'head.bias']);

function values(name, [rows, columns = 1], step) {
  const numbers = Float32Array.from({ length: rows * columns }, (_, index) => Math.sin(index + name.length));
  if (step > 0 && learned.has(name))
    for (const [index, number] of numbers.entries()) numbers[index] = number * 1.001;
  // One row of a large embedding was seen in training.
  if (step > 0 && name === 'embed.weight')
    for (let at = 0; at < columns; at++) numbers[(4711 % rows) * columns + at] += 0.5;
  return Buffer.from(numbers.buffer);
}

for (const [step, path] of [before, after].entries()) {
  const tensors = Object.entries(shapes).map(([name, shape]) => ({
    name,
    dtype: 'float32',
    shape,
    fill: values(name, shape, step),
  }));
  await writeTorchZip(path, { tensors });
}
