/** Attaches an image whose copy needs 1 MiB, when the process may take less than that. Prints what the attempt says. */
import { spawnSync } from 'node:child_process';
import { openSync, readFileSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { loadNative, type NativeAddon } from '../../src/storage/native.ts';
import { imageOf } from '../unit/kernel-view/images.ts';

/** Less than the buffer of a copy, and enough for everything else. */
const SPARE_BYTES = 300 * 1024;

const path = process.argv[2] as string;
const { size } = statSync(path);
const { bytes, begins } = imageOf([[2, 64, size - 64]], size);
const copies = Float64Array.of(bytes.length, 0, 2 ** 20);
const file = openSync(path, 'r');
const native = loadNative() as NativeAddon;
// The threads of libuv's pool exist from here on.
await stat(path);

const limit = dataBytes() + SPARE_BYTES;
const { status } = spawnSync('prlimit', ['--pid', String(process.pid), `--data=${limit}:`]);
if (status !== 0) throw new Error('prlimit failed');
const keepAlive = setTimeout(() => console.log('no answer'), 10_000);
console.log(
  await native.mountView(file, size, bytes, copies, begins).then(
    () => 'attached',
    (cause: Error) => cause.message,
  ),
);
clearTimeout(keepAlive);

function dataBytes(): number {
  const line = /^VmData:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(line?.[1]) * 1024;
}
