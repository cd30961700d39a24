import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, watch } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, mountsOn, scene } from '../support/cli-scene.ts';
import { requires } from '../support/requires.ts';
import { runMlfs } from '../support/run-mlfs.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const NEEDS = requires('fuse', 'addon');

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(
    `a demo that is ended by ${signal} takes its mount and its folder away, and ends by the signal`,
    NEEDS,
    async (t) => {
      const folder = await temporaryDirectory(t);
      const demo = spawn(process.execPath, ['--import', 'tsx', MAIN, 'demo'], {
        env: { ...process.env, TMPDIR: folder },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(demo, 'exit');
      let said = '';
      for await (const chunk of demo.stdout.setEncoding('utf8')) {
        if (!said.includes('Mounted (') && (said + chunk).includes('Mounted (')) demo.kill(signal);
        said += chunk;
      }
      assert.deepEqual(await ended, [null, signal]);
      assert.ok(said.includes('Mounted ('));
      assert.ok(!(await readFile('/proc/self/mountinfo', 'utf8')).includes(folder), 'nothing is mounted');
      assert.deepEqual(
        (await readdir(folder)).filter((name) => name.startsWith('mlfs-')),
        [],
      );
    },
  );
}

/** A command whose server is stopped before it has mounted, so that it never answers. */
async function unanswered(t: TestContext, ...words: string[]) {
  const folder = await temporaryDirectory(t);
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN, ...words], {
    env: { ...process.env, TMPDIR: folder },
    stdio: 'ignore',
  });
  const ended = once(child, 'exit');
  let server = 0;
  t.after(() => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    if (server > 0 && existsSync(`/proc/${server}`)) process.kill(server, 'SIGKILL');
  });
  await eventually('it starts a server', async () => {
    const children = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
    for (const pid of children.split(' ').filter(Boolean)) {
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      if (line.includes('mount-process')) server = Number(pid);
    }
    return server > 0;
  });
  process.kill(server, 'SIGSTOP');
  return { folder, child, ended, server };
}

for (const command of ['demo', 'doctor']) {
  test(
    `a ${command} whose mount does not answer is ended by SIGINT, and its server with it`,
    NEEDS,
    async (t) => {
      const { folder, child, ended, server } = await unanswered(t, command);
      child.kill('SIGINT');
      assert.deepEqual(await ended, [null, 'SIGINT']);
      assert.ok(!existsSync(`/proc/${server}`));
      assert.deepEqual(
        (await readdir(folder)).filter((name) => name.startsWith('mlfs-')),
        [],
      );
    },
  );
}

test(
  'the trial view of a doctor has no file that a signal could leave behind',
  requires('addon', 'root', 'kernel view'),
  async (t) => {
    const folder = await temporaryDirectory(t);
    const made = new Set<string | null>();
    const watcher = watch(folder, (_, name) => made.add(name));
    t.after(() => watcher.close());
    const { stdout } = await runMlfs(['doctor'], { TMPDIR: folder, TSX_DISABLE_CACHE: '1' });
    assert.match(stdout.toString(), /kernel view +the kernel can read/);
    // A nameless file is `#` and its inode here. The folder of the trial mount goes away with a signal.
    await eventually('the events arrive', async () => made.size > 0);
    assert.ok(
      [...made].every((name) => name !== null && /^(mlfs-\w{6}|tsx-\d+|#\d+)$/.test(name)),
      [...made].join(),
    );
  },
);

test('a mount that is interrupted ends when its server has ended', NEEDS, async (t) => {
  const { checkpoint, mountpoint } = await scene(t);
  const { child, ended, server } = await unanswered(t, 'mount', checkpoint, mountpoint);
  await eventually('signals are caught', async () => {
    // Node itself catches SIGINT and SIGTERM: SIGHUP, the lowest bit, says that the command does.
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
    return /^SigCgt:.*[13579bdf]$/m.test(status);
  });
  child.kill('SIGINT');
  assert.deepEqual(await ended, [null, 'SIGINT']);
  assert.ok(!existsSync(`/proc/${server}`));
  assert.deepEqual(await mountsOn(mountpoint), []);
});

test('a second signal ends a demo whose mount does not answer at once', NEEDS, async (t) => {
  const { child, ended, server } = await unanswered(t, 'demo');
  child.kill('SIGINT');
  // Another one: two of a kind that are pending are one.
  child.kill('SIGTERM');
  const [code, signal] = await ended;
  assert.equal(code, null);
  assert.ok(signal === 'SIGINT' || signal === 'SIGTERM', signal);
  assert.ok(existsSync(`/proc/${server}`), 'its server was not waited for');
});
