/** A mount whose server is stopped answers nothing. Commands say so, name the process, and end. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { eventually, mountsOn, type Scene, scene, serverPid } from '../support/cli-scene.ts';
import { requires } from '../support/requires.ts';
import { run } from '../support/run.ts';
import { runMlfs, spawnMlfs } from '../support/run-mlfs.ts';

/** Mounted, with its server stopped; continued when the test is over. */
async function stopped(t: TestContext): Promise<Scene & { readonly pid: number }> {
  let pid = 0;
  t.after(() => {
    try {
      if (pid > 0) process.kill(pid, 'SIGCONT');
    } catch {
      // It has ended.
    }
  });
  const at = await scene(t);
  const { code, stderr } = await runMlfs(['mount', at.checkpoint, at.mountpoint]);
  assert.equal(code, 0, stderr);
  pid = await serverPid(at);
  process.kill(pid, 'SIGSTOP');
  return { ...at, pid };
}

test(
  'commands on a mount whose server is stopped end, and say which process it is and what to do',
  requires('fuse'),
  async (t) => {
    const { pid, mountpoint, checkpoint, folder } = await stopped(t);
    const link = join(folder, 'link');
    await symlink(mountpoint, link);
    for (const args of [
      ['status', mountpoint],
      ['status', link],
      ['commit', mountpoint],
      ['discard', `${mountpoint}/model`],
      ['flush', mountpoint],
      ['reload', mountpoint],
      ['umount', mountpoint],
      ['mount', checkpoint, mountpoint],
      ['diff', checkpoint, mountpoint],
      ['ls', `${mountpoint}/export/model.pt`],
    ]) {
      const { code, stderr } = await runMlfs(args);
      assert.equal(code, 1, `${args[0]}: ${stderr}`);
      assert.ok(stderr.includes(`process ${pid}, which serves it, is stopped`), `${args[0]}: ${stderr}`);
      assert.ok(stderr.includes(`kill -CONT ${pid}`), `${args[0]}: ${stderr}`);
    }
  },
);

test('commands on the checkpoint of such a mount end, too', requires('fuse', 'addon'), async (t) => {
  const { pid, checkpoint, folder } = await stopped(t);
  assert.equal((await runMlfs(['status', checkpoint])).code, 0);
  const other = join(folder, 'other');
  await mkdir(other);
  for (const args of [
    ['commit', checkpoint],
    ['mount', checkpoint, other],
  ]) {
    const { code, stderr } = await runMlfs(args);
    assert.equal(code, 4, `${args[0]}: ${stderr}`);
    assert.match(stderr, new RegExp(`by process ${pid}`));
  }
});

test(
  'umount --lazy takes such a mount away, and its server ends when it goes on',
  requires('fuse'),
  async (t) => {
    const at = await stopped(t);
    const { code, stderr } = await runMlfs(['umount', '--lazy', at.mountpoint]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(await mountsOn(at.mountpoint), []);
    process.kill(at.pid, 'SIGCONT');
    await eventually('the server ends', async () => (await run('kill', ['-0', String(at.pid)])).code !== 0);
  },
);

test(
  'SIGTERM ends a mount that is being made and waits for a file system that does not answer',
  requires('fuse'),
  async (t) => {
    const at = await stopped(t);
    const inner = join(at.folder, 'inner');
    await mkdir(inner);
    // The words of the command would be looked at first, so the way to the stopped mount is a library call.
    const program = `
    import { serveInForeground } from ${JSON.stringify(new URL('../../src/cli/foreground.ts', import.meta.url).href)};
    process.stdout.write('making\\n');
    await serveInForeground(${JSON.stringify(join(at.mountpoint, 'export/model.pt'))}, ${JSON.stringify(inner)}, {}, {
      onMounted: () => undefined, notice: () => undefined,
    });`;
    const child = spawn(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), '--input-type=module', '--eval', program],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    t.after(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [null, 'SIGTERM']);
    assert.deepEqual(await mountsOn(inner), []);
  },
);

test('a pipe in the place of a checkpoint is not waited for', async (t) => {
  const at = await scene(t);
  const pipe = join(at.folder, 'pipe.pt');
  assert.equal((await run('mkfifo', [pipe])).code, 0);
  for (const args of [
    ['info', pipe],
    ['status', pipe],
    ['mount', pipe, at.mountpoint],
  ]) {
    const child = spawnMlfs(args);
    t.after(() => child.kill('SIGKILL'));
    const [code] = await once(child, 'exit');
    assert.equal(code, 3, args[0]);
  }
});
