// The dot product of a tensor with itself, from the page cache, without a copy: node dot-product.mjs FILE NAME
import { readFileSync } from 'node:fs';
import { openCheckpoint } from '../../dist/index.js';

const [path, name] = process.argv.slice(2);
if (name === undefined) throw new Error('usage: node dot-product.mjs FILE NAME');

/** Memory of this process, in MiB: its own, and pages of files, which the kernel may take back. */
function resident() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const [own, file] = ['RssAnon', 'RssFile'].map(
    (field) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024,
  );
  return { own, file };
}

/** Four sums at a time, because each addition waits for the one before it. */
function dot(left, right) {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const whole = left.length - (left.length % 4);
  for (let i = 0; i < whole; i += 4) {
    a += left[i] * right[i];
    b += left[i + 1] * right[i + 1];
    c += left[i + 2] * right[i + 2];
    d += left[i + 3] * right[i + 3];
  }
  for (let i = whole; i < left.length; i++) a += left[i] * right[i];
  return a + b + c + d;
}

function timed(what, array) {
  const started = performance.now();
  const product = dot(array, array);
  const speed = (array.byteLength / (performance.now() - started) / 1e6).toFixed(1);
  console.log(`${what}: ${product}, ${speed} GB/s`);
}

// For comparison, and to have the loop compiled: memory of Node's own.
const own = new Float32Array(2 ** 24).fill(0.5);
for (let i = 0; i < 50; i++) dot(own.subarray(0, 1000), own.subarray(0, 1000));
timed('64 MiB of own memory', own);
const before = resident();

const checkpoint = await openCheckpoint(path);
const weight = checkpoint.map(name, { mode: 'r', intent: 'sequential' });
try {
  const { array } = weight;
  if (!(array instanceof Float32Array)) throw new Error(`${name} is not float32`);
  timed(`${name}, first pass`, array);
  timed(`${name}, second pass`, array);
  // Only now is it known that every byte was there.
  weight.check();
  const after = resident();
  const grown = (kind) => `${Math.round(after[kind] - before[kind])} MiB`;
  console.log(`memory of the process: ${grown('own')} more, and ${grown('file')} of the file's pages`);
  if (after.own - before.own > 32) throw new Error('the tensor was copied');
} finally {
  weight.close();
  await checkpoint.close();
}
