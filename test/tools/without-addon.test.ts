/** The commands that read numbers give the same answers where the addon was not built. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { DType } from '../../src/checkpoint/dtypes.ts';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { requires } from '../support/requires.ts';
import { run } from '../support/run.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const NO_ADDON = new URL('../support/no-addon.mjs', import.meta.url).href;

const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const floats = (...values: number[]) => bytesOf(Float32Array.from(values));

/** Larger than what one thread hashes alone, and than a block. */
const LARGE = new Float32Array(9 * 2 ** 20).fill(1);
const CHANGED = LARGE.slice();
CHANGED[LARGE.length - 1] = Number.NaN;

async function written(path: string, large: Float32Array) {
  const tensor = (name: string, dtype: DType, count: number, fill: Uint8Array) => ({
    name,
    dtype,
    shape: [count],
    fill,
  });
  await writeTorchZip(
    path,
    {
      tensors: [
        tensor('large', 'float32', large.length, bytesOf(large)),
        tensor('half', 'float16', 4, bytesOf(Uint16Array.of(0x7c00, 0x7c01, 0xfe00, 0x7bff))),
        tensor('brain', 'bfloat16', 3, bytesOf(Uint16Array.of(0x7f80, 0xff81, 0x7f7f))),
        tensor('eight', 'float8_e5m2', 3, Uint8Array.of(0x7c, 0x7d, 0x7b)),
        tensor('complex', 'complex64', 3, floats(Number.NaN, 1, Number.NaN, Infinity, 1, 2)),
        tensor('fine', 'float32', 3, floats(0, -0, 1e-45)),
        tensor('empty', 'float32', 0, floats()),
      ],
    },
    { prefix: 'archive' },
  );
}

test('check, diff, seal and verify say the same without the addon', requires('addon'), async (t) => {
  const folder = await temporaryDirectory(t);
  const [a, b] = [join(folder, 'a.pt'), join(folder, 'b.pt')];
  await written(a, LARGE);
  await written(b, CHANGED);
  for (const [words, code, said] of [
    [['check', '--finite', a], 1, /7 floating-point tensors: 4 problems/],
    [['check', '--finite', '--json', b], 1, /{"path":"model\/large.bin","problem":"has 1 NaN and 0 infinite/],
    [['diff', a, b], 1, /1 of 9,437,184 elements .* 1 became NaN or infinite/],
    [['seal', a], 0, /^[0-9a-f]{64} {2}model\/large.bin$/m],
    [['verify', a], 0, /every CRC-32 is right/],
  ] as const) {
    const native = await run(process.execPath, [MAIN, ...words]);
    const here = await run(process.execPath, ['--import', NO_ADDON, MAIN, ...words]);
    assert.deepEqual(here, native, words.join(' '));
    assert.equal(here.code, code, here.stderr);
    assert.match(here.stdout, said);
  }
});
