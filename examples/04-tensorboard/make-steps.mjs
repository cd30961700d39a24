// Writes three checkpoints of one small training run: node make-steps.mjs FOLDER
import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { PyDict } from '../../dist/checkpoint/pickle/values.js';
import { tensorToWrite, writeTorchZip } from '../../dist/checkpoint/torch/writer.js';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: node make-steps.mjs FOLDER');

/** The same normally distributed numbers each time. */
let seed = 1;
function uniform() {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return (seed + 0.5) / 2 ** 32;
}
function normal(shape, mean, deviation) {
  const values = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
  for (let index = 0; index < values.length; index++) {
    values[index] =
      mean + deviation * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  }
  return tensorToWrite('float32', shape, Buffer.from(values.buffer));
}
function dict(entries) {
  const made = new PyDict();
  for (const [key, value] of Object.entries(entries)) made.set(key, value);
  return made;
}

// The weights grow and the biases leave zero, as they do.
for (const [index, step] of [100, 200, 300].entries()) {
  const path = join(folder, `step-${step}.pt`);
  const model = dict({
    'encoder.weight': normal([256, 128], 0, 0.02 * (1 + index)),
    'encoder.bias': normal([256], 0.05 * index, 0.01),
    'head.weight': normal([10, 256], 0, 0.05 * (1 + index)),
    'head.bias': normal([10], 0, 0.001),
  });
  await writeTorchZip(path, { root: dict({ model, global_step: step }) });
  const saved = new Date(Date.UTC(2026, 0, 1, index));
  await utimes(path, saved, saved);
}
