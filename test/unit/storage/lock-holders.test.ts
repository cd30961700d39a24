import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, open, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { lockFile } from '../../../src/storage/lock.ts';
import { inheritedHolder, lockHolders } from '../../../src/storage/lock-holders.ts';
import { requires } from '../../support/requires.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

async function file(t: TestContext): Promise<{ path: string; handle: FileHandle }> {
  const path = join(await temporaryDirectory(t), 'model.pt');
  const handle = await open(path, 'w');
  t.after(() => handle.close());
  return { path, handle };
}

/** Takes the lock in a process that ends, and leaves it to a child, whose pid is returned. */
async function leaveToChild(t: TestContext, path: string): Promise<number> {
  const parent = spawn('flock', ['--no-fork', path, 'sh', '-c', 'sleep 600 >/dev/null 2>&1 & echo $!'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(parent, 'exit');
  const [said] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(said.toString());
  t.after(() => process.kill(pid, 'SIGKILL'));
  await ended;
  return pid;
}

test('a lock that a dead process left to its child is found with the child', requires('flock'), async (t) => {
  const { path, handle } = await file(t);
  const child = await leaveToChild(t, path);
  // Linux lists the lock of a process that has ended in the first pid namespace alone.
  const firstNamespace = (await readlink('/proc/self/ns/pid')) === 'pid:[4026531836]';
  assert.deepEqual(
    (await lockHolders(handle.fd)).map(({ standing }) => standing),
    firstNamespace ? ['gone'] : [],
  );
  assert.deepEqual(await inheritedHolder(handle.fd), { pid: child });
});

test(
  'a checkpoint that a dead process left locked to its child is busy, and the message names the child',
  requires('flock', 'addon'),
  async (t) => {
    const { path } = await file(t);
    const child = await leaveToChild(t, path);
    await assert.rejects(lockFile(path), {
      code: 'ERR_MLFS_BUSY',
      message: `${path}: is open for writing by process ${child}`,
    });
  },
);

test('the search has an end, and then says that it has found nothing out', requires('flock'), async (t) => {
  const { path, handle } = await file(t);
  await leaveToChild(t, path);
  assert.equal(await inheritedHolder(handle.fd, 1), 'undecided');
});

test('a lock that nobody has is found with nobody', async (t) => {
  const { handle } = await file(t);
  assert.deepEqual(await lockHolders(handle.fd), []);
  assert.equal(await inheritedHolder(handle.fd), 'none');
});
