// A training checkpoint at a step: node make-step.mjs FILE STEP
import { PyDict } from '../../dist/checkpoint/pickle/values.js';
import { tensorToWrite, writeTorchZip } from '../../dist/checkpoint/torch/writer.js';

const [path, text] = process.argv.slice(2);
const step = Number(text);
if (!Number.isInteger(step)) throw new Error('usage: node make-step.mjs FILE STEP');

const tensor = (shape, value) => {
  const count = shape.reduce((product, size) => product * size, 1);
  const values = Float32Array.from({ length: count }, (_, index) => value(index));
  return tensorToWrite('float32', shape, Buffer.from(values.buffer));
};

const model = new PyDict();
model.set(
  'fc.weight',
  tensor([8, 4], (index) => Math.sin(index) / Math.sqrt(step)),
);
model.set(
  'fc.bias',
  tensor([8], (index) => step / 1000 + index / 8),
);
const root = new PyDict();
root.set('step', step);
root.set('state_dict', model);
await writeTorchZip(path, { root });
