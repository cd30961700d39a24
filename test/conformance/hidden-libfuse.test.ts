import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { requires } from '../support/requires.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Runs a command in a mount namespace in which the system has no libfuse.so.2: an overlay with a whiteout, a character
 * device 0:0 of that name, over the folder of libraries.
 */
const HIDE = `
set -e
library=$(ldconfig -p | sed -n 's/.*libfuse\\.so\\.2 .*=> //p' | head -n 1)
if [ -n "$library" ]; then
  libraries=$(dirname "$(realpath "$library")")
  mknod "$1/libfuse.so.2" c 0 0
  mount -t overlay overlay -o "lowerdir=$1:$libraries" "$libraries"
  ! [ -e "$library" ]
fi
shift
exec "$@"
`;

const LOAD = `
import { readFileSync } from 'node:fs';
import { loadFuseNative } from './src/fuse/transport/fuse-native-module.ts';
const FuseNative = loadFuseNative();
if (typeof FuseNative !== 'function') throw new Error('no class');
const maps = readFileSync('/proc/self/maps', 'utf8');
console.log(/\\/fuse-native\\/prebuilds\\/.*libfuse\\.so/.test(maps) ? 'shipped' : 'system');
`;

const ASK_BENCH = `
import { mlfsFuseNative } from './bench/drivers/mlfs.ts';
console.log(mlfsFuseNative.missing() ?? 'can be measured');
`;

const NEEDS = requires('fuse-native', 'root', 'unshare', 'ldconfig');

/** What a program prints that runs where the system has no libfuse.so.2. */
async function withoutLibfuse(t: TestContext, program: string): Promise<string> {
  const script = ['sh', '-c', HIDE, 'sh', await temporaryDirectory(t)];
  const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', program];
  const { stdout } = await promisify(execFile)('unshare', ['-m', ...script, ...node], { cwd: PROJECT });
  return stdout;
}

test('fuse-native loads without libfuse2 installed, from the library that it ships', NEEDS, async (t) => {
  assert.equal(await withoutLibfuse(t, LOAD), 'shipped\n');
});

test('the bench measures fuse-native without libfuse2 installed', NEEDS, async (t) => {
  assert.equal(await withoutLibfuse(t, ASK_BENCH), 'can be measured\n');
});
