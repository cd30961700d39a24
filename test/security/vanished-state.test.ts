/** The state directory of a mount is removed or moved away: nothing more is acknowledged, and nothing is said to be kept. */
import assert from 'node:assert/strict';
import { mkdir, open, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Scene, scene, WEIGHT } from '../support/cli-scene.ts';
import { requires } from '../support/requires.ts';
import { runMlfs } from '../support/run-mlfs.ts';

const weightOf = ({ mountpoint }: Scene) => join(mountpoint, 'model/fc/weight.bin');

async function edited(t: TestContext, ...flags: string[]): Promise<Scene & { readonly state: string }> {
  const at = await scene(t);
  const { code, stderr } = await runMlfs(['mount', ...flags, at.checkpoint, at.mountpoint]);
  assert.equal(code, 0, stderr);
  await write(at, 1);
  return { ...at, state: `${at.checkpoint}.mlfs` };
}

async function write(at: Scene, byte: number, sync = false): Promise<void> {
  const file = await open(weightOf(at), 'r+');
  try {
    await file.write(Buffer.from([byte]), 0, 1, 0);
    if (sync) await file.sync();
  } finally {
    await file.close();
  }
}

const STALE = { errno: -116 };

for (const [how, take] of [
  ['removed', (state: string) => rm(state, { recursive: true })],
  ['moved', (state: string) => rename(state, `${state}.moved`)],
  [
    'moved, with a link in its place',
    async (state: string) => {
      await rename(state, `${state}.moved`);
      await symlink(`${state}.moved`, state);
    },
  ],
  [
    'replaced by another',
    async (state: string) => {
      await rename(state, `${state}.moved`);
      await mkdir(join(state, 'journal'), { recursive: true });
      await writeFile(join(state, 'journal', '000001.log'), '');
    },
  ],
] as const) {
  test(
    `a state directory that was ${how}: writes and fsync are refused, and umount does not say that edits are kept`,
    requires('fuse'),
    async (t) => {
      const at = await edited(t);
      await take(at.state);
      await assert.rejects(write(at, 2), STALE);
      assert.equal((await readFile(weightOf(at)))[0], 1, 'what was acknowledged is still shown');
      const file = await open(weightOf(at), 'r+');
      await assert.rejects(file.sync(), STALE);
      await file.close();
      assert.match(
        await readFile(join(at.mountpoint, 'logs/fuse.log'), 'utf8'),
        /was removed or moved while it was in use/,
      );

      const commit = await runMlfs(['commit', at.mountpoint]);
      assert.equal(commit.code, 4, commit.stderr);
      assert.match(commit.stderr, /was removed or moved/);
      assert.match(commit.stderr, /--to NEW\.pt/);

      const refused = await runMlfs(['umount', at.mountpoint]);
      assert.equal(refused.code, 4, refused.stderr);
      assert.match(refused.stderr, /1 byte of edits would be lost/);

      // What can be done: the edits go to a file of their own.
      const copy = join(at.folder, 'copy.pt');
      const kept = await runMlfs(['commit', at.mountpoint, '--to', copy]);
      assert.equal(kept.code, 0, kept.stderr);
      const expected = Buffer.from(WEIGHT);
      expected[0] = 1;
      assert.ok((await readFile(copy)).includes(expected));

      const discarded = await runMlfs(['discard', at.mountpoint]);
      assert.equal(discarded.code, 0, discarded.stderr);
      assert.deepEqual(await readFile(weightOf(at)), WEIGHT);
      await assert.rejects(write(at, 3), STALE);
      const unmounted = await runMlfs(['umount', at.mountpoint]);
      assert.equal(unmounted.code, 0, unmounted.stderr);
      assert.doesNotMatch(unmounted.stderr, /kept/);
    },
  );
}

test('a state directory that is put back is used again', requires('fuse'), async (t) => {
  const at = await edited(t);
  await rename(at.state, `${at.state}.moved`);
  await assert.rejects(write(at, 2), STALE);
  await rename(`${at.state}.moved`, at.state);
  await write(at, 3, true);
  const unmounted = await runMlfs(['umount', at.mountpoint]);
  assert.equal(unmounted.code, 0, unmounted.stderr);
  assert.match(unmounted.stderr, /1 byte of edits are kept/);
  const committed = await runMlfs(['commit', at.checkpoint]);
  assert.equal(committed.code, 0, committed.stderr);
  assert.ok((await readFile(at.checkpoint)).includes(Buffer.concat([Buffer.from([3]), WEIGHT.subarray(1)])));
});

test('a gradient in a state directory that was removed is not acknowledged', requires('fuse'), async (t) => {
  const at = await edited(t);
  const file = await open(join(at.mountpoint, 'model/fc/weight.grad'), 'r+');
  t.after(() => file.close());
  await file.write(Buffer.from('gradient'), 0, 8, 0);
  await rm(at.state, { recursive: true });
  await assert.rejects(
    (async () => {
      await file.write(Buffer.from('another'), 0, 7, 0);
      await file.sync();
    })(),
    STALE,
  );
});

test(
  'a mount that writes back says that the edits are lost when their state directory was removed',
  requires('fuse'),
  async (t) => {
    const at = await edited(t, '--write-back');
    await rm(at.state, { recursive: true });
    const refused = await runMlfs(['umount', at.mountpoint]);
    assert.equal(refused.code, 4, refused.stderr);
    assert.doesNotMatch(refused.stderr, /kept/);
  },
);
