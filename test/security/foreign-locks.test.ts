/** Whoever can read a checkpoint can lock it with flock(2). That keeps nobody from it, and its users still exclude each other. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { lockFile } from '../../src/storage/lock.ts';
import { mountsOn } from '../support/cli-scene.ts';
import { requires } from '../support/requires.ts';
import { run } from '../support/run.ts';
import { runMlfs } from '../support/run-mlfs.ts';
import { SECOND_USER, sharedDirectory } from '../support/second-user.ts';

interface Stage {
  readonly folder: string;
  readonly checkpoint: string;
  readonly mountpoints: readonly string[];
}

async function stage(t: TestContext): Promise<Stage> {
  const mountpoints: string[] = [];
  // Hooks run in this order: first unmount, then remove.
  t.after(async () => {
    for (const path of mountpoints) {
      for (const _ of await mountsOn(path)) await run('umount', ['-l', path]);
    }
  });
  const folder = await sharedDirectory(t);
  for (const name of ['one', 'two']) {
    mountpoints.push(join(folder, name));
    await mkdir(join(folder, name));
  }
  const checkpoint = join(folder, 'model.pt');
  await writeTorchZip(checkpoint, {
    tensors: [{ name: 'weight', dtype: 'uint8', shape: [8], fill: Buffer.alloc(8, 7) }],
  });
  await chmod(checkpoint, 0o644);
  return { folder, checkpoint, mountpoints };
}

/** A process of the other user with the lock; `kind` is an option of flock(1). Resolves when it has it, with what ends it. */
async function lockAsOther(
  t: TestContext,
  path: string,
  kind: string,
  script: string,
): Promise<() => Promise<void>> {
  const child = spawn('flock', ['--no-fork', kind, path, 'sh', '-c', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
    ...SECOND_USER,
  });
  const closed = once(child, 'close');
  let ended = false;
  const end = async () => {
    if (ended) return;
    ended = true;
    // With what it started.
    process.kill(-(child.pid as number), 'SIGKILL');
    await closed;
  };
  t.after(end);
  await once(child.stdout, 'data');
  return end;
}

const needs = requires('root', 'fuse', 'addon', 'flock');

for (const kind of ['--exclusive', '--shared']) {
  test(
    `a checkpoint that another user has locked (flock ${kind}) is mounted for writing, once`,
    needs,
    async (t) => {
      const { folder, checkpoint, mountpoints } = await stage(t);
      const [one = '', two = ''] = mountpoints;
      await lockAsOther(t, checkpoint, kind, 'echo locked; exec sleep 600');
      const first = await runMlfs(['mount', checkpoint, one]);
      assert.equal(first.code, 0, first.stderr);
      assert.match(first.stderr, /process \d+ of another user has locked it, and this lock is ignored/);

      const { pid } = JSON.parse(await readFile(join(one, 'sys/status.json'), 'utf8')) as { pid: number };
      const second = await runMlfs(['mount', checkpoint, two]);
      assert.equal(second.code, 4, second.stderr);
      assert.match(second.stderr, new RegExp(`mounted read-write at ${one} by process ${pid}`));

      const edited = await run('dd', [`of=${one}/model/weight.bin`, 'conv=notrunc', 'status=none'], {
        input: 'x',
      });
      assert.equal(edited.code, 0, edited.stderr);
      const committed = await runMlfs(['commit', checkpoint]);
      assert.match(committed.stdout.toString(), /committed 1 byte/, committed.stderr);
      assert.equal((await runMlfs(['umount', one])).code, 0);
      assert.equal((await runMlfs(['commit', checkpoint])).code, 0);
      assert.deepEqual((await run('ls', [folder])).stdout.split('\n').sort().slice(1), [
        'model.pt',
        'one',
        'two',
      ]);
    },
  );
}

test(
  'a mount from before another user comes keeps its lock, and one from after he went is excluded by it',
  needs,
  async (t) => {
    const { checkpoint, mountpoints } = await stage(t);
    const [one = '', two = ''] = mountpoints;
    const letGo = await lockAsOther(t, checkpoint, '--exclusive', 'echo locked; exec sleep 600');
    assert.equal((await runMlfs(['mount', checkpoint, one])).code, 0);
    await letGo();
    const second = await runMlfs(['mount', checkpoint, two]);
    assert.equal(second.code, 4, second.stderr);
  },
);

test("a lock that a child of another user's process inherited does not count either", needs, async (t) => {
  const { checkpoint } = await stage(t);
  await lockAsOther(t, checkpoint, '--exclusive', 'sleep 600 >/dev/null & echo locked');
  const lock = await lockFile(checkpoint);
  assert.notEqual(lock.stranger, undefined);
  await lock.release();
});

test('a lock of the owner of the checkpoint counts', needs, async (t) => {
  const { checkpoint } = await stage(t);
  const { code } = await run('chown', [String(SECOND_USER.uid), checkpoint]);
  assert.equal(code, 0);
  await lockAsOther(t, checkpoint, '--exclusive', 'echo locked; exec sleep 600');
  await assert.rejects(lockFile(checkpoint), { code: 'ERR_MLFS_BUSY', message: /by process \d+/ });
});
