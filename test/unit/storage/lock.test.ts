import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { diskMedium } from '../../../src/storage/disk-medium.ts';
import { lockFile, takeLock } from '../../../src/storage/lock.ts';
import type { Medium, MediumFile } from '../../../src/storage/medium.ts';
import { eventually } from '../../support/cli-scene.ts';
import { requires } from '../../support/requires.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const HOLDER = fileURLToPath(new URL('lock-holder.ts', import.meta.url));

async function holder(t: TestContext, ...args: string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--import', 'tsx', HOLDER, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.stdin?.end());
  const [first] = await once(child.stdout as NodeJS.ReadableStream, 'data');
  assert.equal(String(first), 'locked\n');
  return child;
}

async function killed(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/** As a file is of a medium that has no descriptors. */
function withoutDescriptor(file: MediumFile): MediumFile {
  return {
    path: file.path,
    fd: undefined,
    size: () => file.size(),
    read: (offset, length) => file.read(offset, length),
    write: (offset, pieces) => file.write(offset, pieces),
    truncate: (size) => file.truncate(size),
    sync: () => file.sync(),
    close: () => file.close(),
  };
}

async function checkpoint(t: TestContext): Promise<string> {
  const path = join(await temporaryDirectory(t), 'model.pt');
  await writeFile(path, 'bytes');
  return path;
}

test(
  'a checkpoint that another process has is busy, and names it; when that is killed it is free',
  requires('addon'),
  async (t) => {
    const path = await checkpoint(t);
    const child = await holder(t, 'file', path);
    await assert.rejects(lockFile(path), {
      code: 'ERR_MLFS_BUSY',
      exitCode: 4,
      message: `${path}: is open for writing by process ${child.pid}`,
      advice: /--read-only/,
    });
    await killed(child);
    const lock = await lockFile(path);
    await assert.rejects(lockFile(path), { message: new RegExp(`process ${process.pid}`) });
    await lock.release();
    await (await lockFile(path)).release();
  },
);

test('a lock file says who has it, and is empty again when it is released', async (t) => {
  const path = join(await temporaryDirectory(t), 'lock');
  const lock = await takeLock(diskMedium, path, '/mnt/m');
  const holding = JSON.parse(await readFile(path, 'utf8'));
  assert.deepEqual(Object.keys(holding), ['pid', 'startTime', 'mountpoint']);
  assert.equal(holding.pid, process.pid);
  assert.match(holding.startTime, /^\d+$/);
  await assert.rejects(takeLock(diskMedium, path, undefined), {
    code: 'ERR_MLFS_BUSY',
    message: `${path}: is open for writing by process ${process.pid}, mounted at /mnt/m`,
    advice: /mlfs umount \/mnt\/m/,
  });
  await lock.release();
  assert.equal(await readFile(path, 'utf8'), '');
  await (await takeLock(diskMedium, path, undefined)).release();
});

test('a lock file of another process is busy until that is killed', async (t) => {
  const path = join(await temporaryDirectory(t), 'lock');
  const child = await holder(t, 'state', path, '/mnt/other');
  await assert.rejects(takeLock(diskMedium, path, undefined), {
    code: 'ERR_MLFS_BUSY',
    message: `${path}: is open for writing by process ${child.pid}, mounted at /mnt/other`,
  });
  await killed(child);
  await (await takeLock(diskMedium, path, undefined)).release();
});

test('a lock of a process that was killed is free before its parent has asked for it', async (t) => {
  const path = join(await temporaryDirectory(t), 'lock');
  // Without a descriptor of its own a process in the background reads from /dev/null.
  const script = 'exec 3<&0; "$@" <&3 & exec sleep 600';
  const parent = spawn(
    'sh',
    ['-c', script, 'sh', process.execPath, '--import', 'tsx', HOLDER, 'state', path],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  t.after(() => parent.kill('SIGKILL'));
  await once(parent.stdout, 'data');
  const { pid } = JSON.parse(await readFile(path, 'utf8')) as { pid: number };
  await assert.rejects(takeLock(diskMedium, path, undefined), { code: 'ERR_MLFS_BUSY' });
  process.kill(pid, 'SIGKILL');
  await eventually('it is a zombie', async () => / Z /.test(await readFile(`/proc/${pid}/stat`, 'utf8')));
  await (await takeLock(diskMedium, path, undefined)).release();
});

test('a living process that never had the lock does not keep it because of its pid', async (t) => {
  const path = join(await temporaryDirectory(t), 'lock');
  const child = await holder(t, 'state', join(await temporaryDirectory(t), 'another-lock'));
  const { stdout } = { stdout: await readFile(`/proc/${child.pid}/stat`, 'utf8') };
  const startTime = stdout.slice(stdout.lastIndexOf(')') + 2).split(' ')[19];
  await writeFile(path, JSON.stringify({ pid: child.pid, startTime: `${startTime}0` }));
  await (await takeLock(diskMedium, path, undefined)).release();
  await writeFile(path, JSON.stringify({ pid: child.pid, startTime }));
  await assert.rejects(takeLock(diskMedium, path, undefined), { code: 'ERR_MLFS_BUSY' });
});

test('where nothing can be locked the words in the lock file hold', async (t) => {
  const wordsOnly: Medium = {
    ...diskMedium,
    open: async (path, how) => withoutDescriptor(await diskMedium.open(path, how)),
  };
  const path = join(await temporaryDirectory(t), 'lock');
  const child = await holder(t, 'state', path, '/mnt/other');
  await assert.rejects(takeLock(wordsOnly, path, undefined), { message: new RegExp(`process ${child.pid}`) });
  await killed(child);
  const lock = await takeLock(wordsOnly, path, undefined);
  await assert.rejects(takeLock(wordsOnly, path, undefined), {
    message: new RegExp(`process ${process.pid}`),
  });
  await lock.release();
  await (await takeLock(wordsOnly, path, undefined)).release();
});

test('what is half written in a lock file holds nobody up', async (t) => {
  const path = join(await temporaryDirectory(t), 'lock');
  for (const text of ['', '{"pid":', 'null', '{"pid":"1"}', '[]']) {
    await writeFile(path, text);
    await (await takeLock(diskMedium, path, undefined)).release();
  }
});

test('a file that is not there cannot be locked', async (t) => {
  await assert.rejects(lockFile(join(await temporaryDirectory(t), 'none')), { code: 'ERR_MLFS_NOT_FOUND' });
});
