// Writes a state dict with the names and shapes of torchvision's ResNet-18 (122 tensors, 46.8 MB): node make-resnet18.mjs FILE
import { writeTorchZip } from '../../dist/checkpoint/torch/writer.js';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: node make-resnet18.mjs FILE');

/** The same small numbers each time, made piece by piece. */
const numbers = (offset, length) => {
  const values = new Float32Array(length / 4);
  for (let index = 0; index < values.length; index++) {
    values[index] = (Math.imul(offset / 4 + index + 1, 2654435761) >>> 0) / 2 ** 32 / 10 - 0.05;
  }
  return Buffer.from(values.buffer);
};
const zeros = (length) => Buffer.alloc(length);
const ones = (count) => Buffer.from(new Float32Array(count).fill(1).buffer);

const conv = (name, out, input, kernel) => [
  { name: `${name}.weight`, dtype: 'float32', shape: [out, input, kernel, kernel], fill: numbers },
];
const batchNorm = (name, features) => [
  { name: `${name}.weight`, dtype: 'float32', shape: [features], fill: ones(features) },
  { name: `${name}.bias`, dtype: 'float32', shape: [features], fill: zeros(features * 4) },
  { name: `${name}.running_mean`, dtype: 'float32', shape: [features], fill: zeros(features * 4) },
  { name: `${name}.running_var`, dtype: 'float32', shape: [features], fill: ones(features) },
  { name: `${name}.num_batches_tracked`, dtype: 'int64', shape: [], fill: zeros(8) },
];
const block = (name, input, out) => [
  ...conv(`${name}.conv1`, out, input, 3),
  ...batchNorm(`${name}.bn1`, out),
  ...conv(`${name}.conv2`, out, out, 3),
  ...batchNorm(`${name}.bn2`, out),
  ...(input === out
    ? []
    : [...conv(`${name}.downsample.0`, out, input, 1), ...batchNorm(`${name}.downsample.1`, out)]),
];

const widths = [64, 64, 128, 256, 512];
await writeTorchZip(path, {
  tensors: [
    ...conv('conv1', 64, 3, 7),
    ...batchNorm('bn1', 64),
    ...[1, 2, 3, 4].flatMap((layer) => [
      ...block(`layer${layer}.0`, widths[layer - 1], widths[layer]),
      ...block(`layer${layer}.1`, widths[layer], widths[layer]),
    ]),
    { name: 'fc.weight', dtype: 'float32', shape: [1000, 512], fill: numbers },
    { name: 'fc.bias', dtype: 'float32', shape: [1000], fill: numbers },
  ],
});
