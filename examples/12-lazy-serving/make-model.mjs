// A model of 1 GiB, written piece by piece: node make-model.mjs FILE
//
// 28 residual blocks of 32 MiB over an embedding of 128 MiB.
import { writeTorchZip } from '../../dist/checkpoint/torch/writer.js';

const WIDTH = 1024;
const HIDDEN = 4096;
const TOKENS = 32_768;
const BLOCKS = 28;

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: node make-model.mjs FILE');

/** The period of 61 divides no row, so that neighbouring rows differ. */
function tensor(name, shape, seed) {
  const piece = new Float32Array(2 ** 18);
  const fill = (offset, length) => {
    for (let at = 0; at < length / 4; at++)
      piece[at] = (((offset / 4 + at) * 7 + seed * 13) % 61) / 1024 - 30 / 1024;
    return Buffer.from(piece.buffer, 0, length);
  };
  return { name, dtype: 'float32', shape, fill };
}

const tensors = [tensor('embed.weight', [TOKENS, WIDTH], 0)];
for (let block = 0; block < BLOCKS; block++) {
  tensors.push(tensor(`blocks.${block}.up.weight`, [HIDDEN, WIDTH], 2 * block + 1));
  tensors.push(tensor(`blocks.${block}.down.weight`, [WIDTH, HIDDEN], 2 * block + 2));
}
await writeTorchZip(path, { tensors });
