import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
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

test(
  'fuse-native loads without libfuse2 installed, from the library that it ships',
  requires('fuse-native', 'root', 'unshare', 'ldconfig'),
  async (t) => {
    const whiteouts = await temporaryDirectory(t);
    const script = ['sh', '-c', HIDE, 'sh', whiteouts];
    const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', LOAD];
    const { stdout } = await promisify(execFile)('unshare', ['-m', ...script, ...node], { cwd: PROJECT });
    assert.equal(stdout, 'shipped\n');
  },
);
