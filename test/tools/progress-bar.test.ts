/** Commands with a progress bar, on a terminal. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { run } from '../support/run.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const DRIVE = fileURLToPath(new URL('../support/drive-terminal.py', import.meta.url));

const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';
/** Nobody reads as much before Ctrl-C is typed; no block of it is on the disk. */
const SPARSE_BYTES = 2 ** 37;
/** As drive-terminal.py ends for a program that SIGINT ended. */
const ENDED_BY_SIGINT = 256 - 2;

for (const command of ['verify', 'seal', 'check --finite']) {
  test(`Ctrl-C ends mlfs ${command} at its bar, and the terminal shows its cursor again`, async (t) => {
    const path = join(await temporaryDirectory(t), 'model.pt');
    const shape = [SPARSE_BYTES / 4];
    await writeTorchZip(path, { tensors: [{ name: 'w', dtype: 'float32', shape, fill: 'sparse-zeros' }] });
    const words = [process.execPath, MAIN, ...command.split(' '), path];
    const { code, stdout, stderr } = await run(DEBIAN_PYTHON, [DRIVE, '[["%", "\\u0003"]]', ...words]);
    assert.equal(code, ENDED_BY_SIGINT, stdout + stderr);
    assert.ok(stdout.lastIndexOf(HIDE_CURSOR) >= 0, stdout);
    assert.ok(stdout.lastIndexOf(SHOW_CURSOR) > stdout.lastIndexOf(HIDE_CURSOR), stdout);
  });
}
