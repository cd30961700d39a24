/** What only looks writes nothing, nowhere: also with edits at hand, with a commit that was interrupted, and while a mount has the checkpoint. */
import assert from 'node:assert/strict';
import { mkdir, readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { WritableCheckpoint } from '../../src/targets/writable-checkpoint.ts';
import { type Scene, scene } from '../support/cli-scene.ts';
import { requires } from '../support/requires.ts';
import { runMlfs } from '../support/run-mlfs.ts';
import { treeSnapshot } from '../support/tree-snapshot.ts';

const LOOKS: readonly (readonly string[])[] = [
  ['status'],
  ['status', '--json'],
  ['info'],
  ['ls'],
  ['verify'],
  ['check'],
];

/** Runs what only looks; `also` is run besides. Returns what each said. */
async function look(at: Scene, also: readonly (readonly string[])[] = []): Promise<string> {
  const state = join(at.folder, 'xdg');
  await mkdir(state, { recursive: true });
  const before = await treeSnapshot(at.folder);
  let said = '';
  for (const [command = '', ...flags] of [...LOOKS, ...also]) {
    const { stdout, stderr } = await runMlfs([command, ...flags, at.checkpoint], { XDG_STATE_HOME: state });
    said += `${command}: ${stdout}${stderr}`;
    assert.deepEqual(await treeSnapshot(at.folder), before, `after ${command}`);
  }
  return said;
}

/** Edits and a gradient that nobody has mounted; `interrupted` leaves a commit that was decided and not finished. */
async function kept(t: TestContext, interrupted = false): Promise<Scene> {
  const at = await scene(t);
  const opened = await WritableCheckpoint.open(at.checkpoint);
  const bytes = opened.checkpoint.tensors[0]?.tensor.storage.bytes;
  const offset = bytes?.kind === 'extent' ? bytes.offset : assert.fail('it is stored as it is');
  await opened.checkpoint.image.update((update) => update.write(offset, Buffer.from('edit')));
  const gradient = opened.editing.gradient('fc.weight', 0, 24);
  await gradient.write(0, Buffer.from('gradient'));
  await gradient.sync();
  if (interrupted) {
    const interrupt = () => {
      throw new Error('interrupted');
    };
    await assert.rejects(opened.edits.commit({ onProgress: interrupt }), /interrupted/);
  }
  await opened.close();
  return at;
}

test('a checkpoint without a state directory gets none, and no directory of the user is made', async (t) => {
  const at = await scene(t);
  await look(at);
  assert.deepEqual(await readdir(join(at.folder, 'xdg')), []);
});

test('a lock file with the words of a process that was killed stays as it is, and so do an empty gradient and an empty directory', async (t) => {
  const at = await kept(t);
  const state = `${at.checkpoint}.mlfs`;
  await writeFile(join(state, 'lock'), '{"pid":4194303,"startTime":"1"}\n');
  await truncate(join(state, 'grads', 'fc.weight'), 0);
  await mkdir(join(state, 'activations'));
  await look(at);
});

test('edits that are kept are said and left', async (t) => {
  const said = await look(await kept(t));
  assert.match(said, /status: checkpoint .*\nedits +4 bytes in 1 range/);
  assert.match(said, /ls: .*4 bytes of uncommitted edits/s);
});

test('a commit that was interrupted is said and left', async (t) => {
  const said = await look(await kept(t, true));
  assert.match(said, /status: .*commit +one was interrupted/s);
  assert.match(said, /info: .*a commit was interrupted/s);
});

test(
  'a read-only mount changes nothing, and is refused when a commit was interrupted',
  requires('fuse'),
  async (t) => {
    for (const interrupted of [false, true]) {
      const at = await kept(t, interrupted);
      const state = `${at.checkpoint}.mlfs`;
      const before = [await treeSnapshot(state), await treeSnapshot(at.checkpoint)];
      const { code, stderr } = await runMlfs(['mount', '--read-only', at.checkpoint, at.mountpoint]);
      assert.equal(code, interrupted ? 5 : 0, stderr);
      assert.match(stderr, interrupted ? /a commit was interrupted/ : /are not shown/);
      if (!interrupted) assert.equal((await runMlfs(['umount', at.mountpoint])).code, 0);
      assert.deepEqual([await treeSnapshot(state), await treeSnapshot(at.checkpoint)], before);
    }
  },
);

test(
  'status of a checkpoint that a mount has asks the mount, and writes nothing besides',
  requires('fuse'),
  async (t) => {
    const at = await kept(t);
    const state = `${at.checkpoint}.mlfs`;
    assert.equal((await runMlfs(['mount', at.checkpoint, at.mountpoint])).code, 0);
    const before = [await treeSnapshot(state), await treeSnapshot(at.checkpoint)];
    const { stdout, stderr } = await runMlfs(['status', at.checkpoint]);
    assert.match(stderr, /the mount carries it out/);
    assert.match(stdout.toString(), /mount +.*read-write/);
    assert.deepEqual([await treeSnapshot(state), await treeSnapshot(at.checkpoint)], before);
  },
);
