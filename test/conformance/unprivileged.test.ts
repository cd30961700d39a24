import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { requires } from '../support/requires.ts';

const SUITE = 'test/conformance/conformance.test.ts';
const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

/** Reading, listing, and the ways a mount ends. */
const CASES = 'from start to end|walk everything|appended to the log|ends the server|in use stays';

/**
 * A mount namespace in which everybody may open /dev/fuse, as udev has it where there is one, and can reach the project,
 * wherever it was cloned; and a user who may do nothing but read its files.
 */
const AS_NOBODY = `
set -e
mknod "$1/fuse" c 10 229
chmod 666 "$1/fuse"
mount --bind "$1/fuse" /dev/fuse
mkdir "$1/project"
mount --bind . "$1/project"
cd "$1/project"
mkdir "$1/home"
chown 65534:65534 "$1/home"
export HOME="$1/home" TMPDIR="$1/home"
shift
exec setpriv --reuid=65534 --regid=65534 --clear-groups \\
  --inh-caps=+dac_read_search --ambient-caps=+dac_read_search "$@"
`;

test(
  'who is not root mounts through fusermount3, with either transport',
  requires('fuse', 'python3', 'root', 'addon', 'fuse-native', 'fusermount3', 'unshare', 'setpriv'),
  async (t) => {
    // Not in the folder of the run: its parents are root's alone.
    const folder = await mkdtemp(join('/tmp', 'mlfs-nobody-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    await chmod(folder, 0o755);
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const tests = ['--import', 'tsx', '--test', '--test-name-pattern', CASES, SUITE];
    const { stdout } = await promisify(execFile)(
      'unshare',
      ['-m', 'sh', '-c', AS_NOBODY, 'sh', folder, process.execPath, ...tests],
      { cwd: PROJECT, env },
    );
    assert.match(stdout, /^# pass 16$/m);
    assert.match(stdout, /^# fail 0$/m);
  },
);
