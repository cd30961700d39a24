// The library, without a mount: node read-tensor.mjs CHECKPOINT
import { openCheckpoint } from '../../dist/index.js';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: node read-tensor.mjs CHECKPOINT');

const checkpoint = await openCheckpoint(path);
for (const { name, dtype, shape, nbytes } of checkpoint.tensors) console.log(name, dtype, shape, nbytes);
const [first] = checkpoint.tensors;
if (first !== undefined) {
  const bytes = await checkpoint.read(first.name, { length: 16 });
  console.log(first.name, 'begins with', bytes.toString('hex'));
}
await checkpoint.close();
