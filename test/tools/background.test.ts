/** `mlfs mount` when the process that is to serve cannot be started, or does not live to mount. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { mountsOn, scene } from '../support/cli-scene.ts';
import { requires } from '../support/requires.ts';
import { runMlfs } from '../support/run-mlfs.ts';

const NEEDS = requires('fuse', 'addon');
/** tsx keeps what it has translated in the temporary folder. */
const NO_FOLDER = { TMPDIR: '/dev/null', TSX_DISABLE_CACHE: '1' };

test('a mount needs no temporary folder', NEEDS, async (t) => {
  const { checkpoint, mountpoint } = await scene(t);
  const { code, stderr } = await runMlfs(['mount', checkpoint, mountpoint], NO_FOLDER);
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal((await mountsOn(mountpoint)).length, 1);
});

test('without a temporary folder a mistyped option is one, too', async () => {
  const { code, stderr } = await runMlfs(['mount', '--bogus', 'model.pt', '/mnt'], NO_FOLDER);
  assert.equal(code, 2);
  assert.match(stderr, /^mlfs: unknown option '--bogus'\n {2}try: mlfs mount --help\n$/);
});

const DIES =
  "if (process.argv[1]?.includes('mount-process')) { console.error('no luck today'); process.exit(7); }";

for (const [what, preload, said] of [
  [
    'that dies at once',
    DIES,
    /^mlfs: the serving process ended before it mounted \(exit code 7\): no luck today\n/,
  ],
  [
    'that cannot be started',
    "process.execPath = '/no-such-node';",
    /^mlfs: no serving process can be started: [^\n]*ENOENT\n/,
  ],
] as const) {
  test(`a mount by a process ${what} fails with the reason`, NEEDS, async (t) => {
    const { folder, checkpoint, mountpoint } = await scene(t);
    const file = join(folder, 'preload.cjs');
    await writeFile(file, preload);
    const { code, stderr } = await runMlfs(['mount', checkpoint, mountpoint], {
      NODE_OPTIONS: `--require ${file}`,
    });
    assert.equal(code, 1);
    assert.match(stderr, said);
  });
}
