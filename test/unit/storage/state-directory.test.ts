import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { BaseRecord } from '../../../src/storage/base-record.ts';
import { diskMedium } from '../../../src/storage/disk-medium.ts';
import { StateDirectory, type StateOptions } from '../../../src/storage/state-directory.ts';
import { temporaryDirectory } from '../../support/tmp.ts';
import { treeSnapshot } from '../../support/tree-snapshot.ts';
import { FaultyMedium } from './journal/faulty-medium.ts';

const BASE: BaseRecord = { path: '/m.pt', size: 10, ino: '1', mtimeNs: '2', structure: '0badcafe' };

async function located(t: TestContext, options?: StateOptions) {
  const folder = await temporaryDirectory(t);
  const checkpoint = join(folder, 'model.pt');
  await writeFile(checkpoint, 'bytes');
  const again = () => StateDirectory.locate(diskMedium, checkpoint, options);
  return { folder, checkpoint, state: await again(), again };
}

function userState(t: TestContext, path: string): void {
  const { XDG_STATE_HOME: before } = process.env;
  process.env.XDG_STATE_HOME = path;
  t.after(() => {
    if (before === undefined) delete process.env.XDG_STATE_HOME;
    else process.env.XDG_STATE_HOME = before;
  });
}

test('it lies beside the checkpoint, and looking for it makes nothing', async (t) => {
  const { folder, checkpoint, state } = await located(t);
  assert.equal(state.path, `${checkpoint}.mlfs`);
  assert.equal(state.journalPath, `${checkpoint}.mlfs/journal`);
  assert.equal(state.exists(), false);
  assert.equal(await state.readBase(), undefined);
  assert.deepEqual(await state.gradients(), new Map());
  await state.close();
  assert.deepEqual(await readdir(folder), ['model.pt']);
});

test('a symbolic link to a checkpoint has the state of the file it leads to', async (t) => {
  const { folder, checkpoint } = await located(t);
  await mkdir(join(folder, 'links'));
  await symlink(checkpoint, join(folder, 'links', 'latest.pt'));
  const state = await StateDirectory.locate(diskMedium, join(folder, 'links', 'latest.pt'));
  assert.equal(state.path, `${checkpoint}.mlfs`);
});

test('--state says where it is', async (t) => {
  const directory = join(await temporaryDirectory(t), 'elsewhere');
  const { folder, state } = await located(t, { directory });
  await state.ensure(BASE);
  assert.equal(state.path, directory);
  assert.deepEqual(await readdir(directory), ['base.json', 'lock']);
  assert.deepEqual(await readdir(folder), ['model.pt']);
  await state.close();
});

test("beside a checkpoint on a read-only file system it is in the user's XDG state directory", async (t) => {
  const home = await temporaryDirectory(t);
  userState(t, home);
  // /proc cannot be written to by anybody, root included.
  const first = await StateDirectory.locate(diskMedium, '/proc/self/status');
  assert.match(first.path, new RegExp(`^${home}/mlfs/status-[0-9a-f]{16}$`));
  const second = await StateDirectory.locate(diskMedium, '/proc/1/status');
  assert.notEqual(first.path, second.path, 'checkpoints of one name stay apart');
  await first.ensure(BASE);
  assert.equal(first.exists(), true);
  await second.ensure(BASE);
  await first.close();
  assert.deepEqual(await readdir(join(home, 'mlfs')), [second.path.slice(`${home}/mlfs/`.length)]);
  await second.close();
  assert.deepEqual(await readdir(home), [], 'the folder goes with the last directory in it');
});

test("edits that are in the user's XDG state directory are found there, wherever new ones would go", async (t) => {
  const home = await temporaryDirectory(t);
  userState(t, home);
  const { checkpoint, state } = await located(t);
  assert.equal(state.path, `${checkpoint}.mlfs`);
  const hash = (await import('node:crypto'))
    .createHash('sha256')
    .update(checkpoint)
    .digest('hex')
    .slice(0, 16);
  const elsewhere = join(home, 'mlfs', `model.pt-${hash}`);
  await mkdir(elsewhere, { recursive: true });
  await writeFile(join(elsewhere, 'base.json'), '{}');
  assert.equal((await StateDirectory.locate(diskMedium, checkpoint)).path, elsewhere);
});

test('base.json comes back as it was written, and is replaced in one step', async (t) => {
  const { state, again } = await located(t);
  await state.ensure(BASE);
  assert.deepEqual(await state.readBase(), BASE);
  await state.writeBase({ ...BASE, size: 11 });
  assert.equal((await (await again()).readBase())?.size, 11);
  assert.deepEqual(await readdir(state.path), ['base.json', 'lock']);
  assert.equal((await stat(state.path)).mode & 0o777, 0o700);
  await state.close();
});

test('making it is durable before it resolves, and making it twice does nothing', async (t) => {
  const medium = new FaultyMedium();
  const { checkpoint, folder } = await located(t);
  const state = await StateDirectory.locate(medium, checkpoint);
  await state.ensure(BASE);
  const calls = medium.calls.map(({ kind, path }) => `${kind} ${path.slice(folder.length)}`);
  const order = [
    'makeDirectory /model.pt.mlfs',
    'syncDirectory ',
    'write /model.pt.mlfs/base.json.new',
    'sync /model.pt.mlfs/base.json.new',
    'rename /model.pt.mlfs/base.json.new',
    'syncDirectory /model.pt.mlfs',
  ];
  const places = order.map((call) => calls.indexOf(call));
  assert.ok(!places.includes(-1), calls.join('\n'));
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  );
  const before = medium.calls.length;
  await state.ensure(BASE);
  assert.equal(medium.calls.length, before);
  await state.close();
});

test('making it may fail at any call, and then succeeds', async (t) => {
  for (let n = 1; ; n++) {
    const medium = new FaultyMedium();
    const { checkpoint } = await located(t);
    const state = await StateDirectory.locate(medium, checkpoint);
    medium.fails = ({ number }) => (number === n ? 'ENOSPC' : undefined);
    let failed = false;
    await state.ensure(BASE).catch((cause) => {
      assert.equal(cause.errno, 'ENOSPC');
      failed = true;
    });
    medium.fails = () => undefined;
    await state.ensure(BASE);
    assert.deepEqual(await state.readBase(), BASE);
    await state.close();
    if (!failed) break;
    assert.ok(n < 50);
  }
});

test('a base.json that cannot be understood is ERR_MLFS_RECOVERY', async (t) => {
  const { state } = await located(t);
  await mkdir(state.path);
  for (const text of ['', '{', 'null', '{"version":2}', '{"version":1,"path":"/m.pt","size":"10"}']) {
    await writeFile(join(state.path, 'base.json'), text);
    await assert.rejects(state.readBase(), { code: 'ERR_MLFS_RECOVERY', advice: /mlfs discard/ });
  }
});

test('one process has it at a time', async (t) => {
  const { state, again } = await located(t, { mountpoint: '/mnt/first' });
  await state.ensure(BASE);
  const second = await again();
  assert.equal(second.exists(), true);
  await assert.rejects(second.lock(), {
    code: 'ERR_MLFS_BUSY',
    message: new RegExp(`process ${process.pid}, mounted at /mnt/first`),
  });
  await assert.rejects(second.ensure(BASE), { code: 'ERR_MLFS_BUSY' });
  await second.close();
  assert.equal((await stat(state.path)).isDirectory(), true, 'who has no lock takes nothing away');
  await state.lock();
  await state.close();
});

test('it goes when nothing is kept in it, and only then', async (t) => {
  const { folder, state, again } = await located(t);
  await state.ensure(BASE);
  await mkdir(state.journalPath);
  await writeFile(join(state.journalPath, '000001.log'), 'x');
  await state.close();
  assert.deepEqual(await readdir(state.path), ['base.json', 'journal', 'lock']);

  const second = await again();
  await second.lock();
  await rm(join(state.journalPath, '000001.log'));
  await writeFile(join(state.path, 'notes.txt'), "somebody else's");
  await second.close();
  assert.ok((await readdir(state.path)).includes('notes.txt'));

  await rm(join(state.path, 'notes.txt'));
  const third = await again();
  await third.lock();
  await third.close();
  assert.equal(third.exists(), false);
  assert.deepEqual(await readdir(folder), ['model.pt']);
  const fourth = await again();
  await fourth.ensure(BASE);
  assert.equal(fourth.exists(), true);
  await fourth.close();
});

test('a state directory that others may write to is refused where it is named, and passed over where it is found', async (t) => {
  const home = await temporaryDirectory(t);
  userState(t, home);
  const { checkpoint, state } = await located(t);
  await mkdir(join(state.path, 'grads'), { recursive: true });
  await chmod(state.path, 0o777);
  const reason = `${state.path}: can be written by every user`;
  await assert.rejects(StateDirectory.locate(diskMedium, checkpoint, { directory: state.path }), {
    code: 'ERR_MLFS_ACCESS',
    message: reason,
  });
  const notices: string[] = [];
  const onNotice = (message: string) => void notices.push(message);
  const other = await StateDirectory.locate(diskMedium, checkpoint, { onNotice });
  assert.ok(other.path.startsWith(`${home}/mlfs/model.pt-`));
  assert.deepEqual(notices, [`${reason}; edits are kept in ${other.path} instead`]);
  await other.close();

  await writeFile(join(state.path, 'base.json'), '{}');
  await assert.rejects(StateDirectory.locate(diskMedium, checkpoint, { onNotice }), { message: reason });
});

test('a look at the lock changes nothing, whoever has it', async (t) => {
  const { state, again } = await located(t);
  await state.ensure(BASE);
  const other = await again();
  const before = await treeSnapshot(state.path);
  assert.equal(await other.isLocked(), true);
  assert.deepEqual(await treeSnapshot(state.path), before);
  await writeFile(join(state.path, 'notes.txt'), 'kept');
  await state.close();
  await writeFile(join(state.path, 'lock'), '{"pid":4194303,"startTime":"1"}');
  const after = await treeSnapshot(state.path);
  assert.equal(await other.isLocked(), false);
  await other.close();
  assert.deepEqual(await treeSnapshot(state.path), after);
});

test('gradients are kept under their names, whatever these are', async (t) => {
  const { state, again } = await located(t);
  const names = ['fc.weight', '../../etc/passwd', 'x'.repeat(600), '', '%+', 'ü/ö'];
  for (const [index, name] of names.entries()) {
    const gradient = state.gradient(name, 0, 100);
    await gradient.write(index, Buffer.from('grad'));
    await gradient.sync();
    await gradient.close();
  }
  await state.close();
  const second = await again();
  assert.deepEqual(
    new Map([...(await second.gradients())].sort()),
    new Map(names.map((name, index) => [name, index + 4] as const).sort()),
  );
  const known = second.gradient('fc.weight', 4, 100);
  assert.equal(Buffer.from(await known.read(0, 10)).toString(), 'grad');
  await known.write(4, Buffer.from('!'));
  assert.equal((await second.gradients()).get('fc.weight'), 5);
  assert.equal(await second.readBase(), undefined, 'gradients refer to no bytes of the checkpoint');
  await known.close();
  await second.close();
});

test('gradients without a byte are not kept', async (t) => {
  const { folder, state } = await located(t);
  for (const name of ['fc.weight', 'x'.repeat(600)]) {
    const gradient = state.gradient(name, 0, 100);
    await gradient.write(0, Buffer.from('grad'));
    await gradient.truncate(0);
    await gradient.close();
  }
  await state.close();
  assert.deepEqual(await readdir(folder), ['model.pt']);
});

test('a gradient that nobody writes to makes nothing', async (t) => {
  const { folder, state } = await located(t);
  const gradient = state.gradient('fc.weight', 0, 100);
  await gradient.truncate(0);
  assert.equal((await gradient.read(0, 10)).byteLength, 0);
  await gradient.close();
  assert.deepEqual(await readdir(folder), ['model.pt']);
});

test('a scratch file has no name and makes no state directory', async (t) => {
  const { folder, state } = await located(t);
  const scratch = state.scratch();
  await scratch.write(100, Buffer.from('swap'));
  assert.equal(Buffer.from(await scratch.read(100, 10)).toString(), 'swap');
  assert.deepEqual(await readdir(folder), ['model.pt']);
  await scratch.close();
});

test('the lock file holds its owner in words', async (t) => {
  const { state } = await located(t, { mountpoint: '/mnt/m' });
  await state.ensure(BASE);
  assert.equal(JSON.parse(await readFile(join(state.path, 'lock'), 'utf8')).mountpoint, '/mnt/m');
  await state.close();
});

test('a state directory with an activation in it is kept, one with none is not', async (t) => {
  const { folder, state, again } = await located(t);
  await state.makeActivations();
  await writeFile(join(state.activationsPath, 'x.npy'), 'bytes');
  await state.close();
  assert.deepEqual((await readdir(folder)).sort(), ['model.pt', 'model.pt.mlfs']);
  const second = await again();
  await second.makeActivations();
  await rm(join(second.activationsPath, 'x.npy'));
  await second.close();
  assert.deepEqual(await readdir(folder), ['model.pt']);
});

test('a gradient that is open when the directory is given up can be read, and takes no lock again', async (t) => {
  const { state, again } = await located(t);
  const written = state.gradient('a', 0, 100);
  const unwritten = state.gradient('b', 0, 100);
  t.after(() => Promise.all([written.close(), unwritten.close()]));
  await written.write(0, Buffer.from('kept'));
  await state.close();
  await assert.rejects(written.write(0, Buffer.from('lost')), { code: 'ERR_MLFS_STALE' });
  await assert.rejects(written.truncate(0), { code: 'ERR_MLFS_STALE' });
  await assert.rejects(unwritten.write(0, Buffer.from('lost')), { code: 'ERR_MLFS_STALE' });
  await assert.rejects(state.makeActivations(), { code: 'ERR_MLFS_STALE' });
  assert.equal((await written.read(0, 10)).toString(), 'kept');
  const next = await again();
  await next.lock();
  assert.deepEqual(await next.gradients(), new Map([['a', 4]]));
  await next.close();
});

test('a gradient that was not open when the directory was given up can be read, and the directory is let go again', async (t) => {
  const { folder, state, again } = await located(t);
  const first = state.gradient('a', 0, 100);
  await first.write(0, Buffer.from('kept'));
  await first.close();
  // As a file has it that was found when the mount began.
  const known = state.gradient('a', 4, 100);
  const gone = state.gradient('b', 4, 100);
  t.after(() => Promise.all([known.close(), gone.close()]));
  await state.close();
  const next = await again();
  await next.lock();
  assert.equal((await known.read(0, 10)).toString(), 'kept');
  await assert.rejects(known.write(0, Buffer.from('lost')), { code: 'ERR_MLFS_STALE' });
  await assert.rejects(gone.read(0, 4), { code: 'ERR_MLFS_STALE', message: /is not there any more/ });
  await known.close();
  await next.close();
  assert.deepEqual(await openBelow(folder), []);
});

/** Descriptors of this process of what lies in a folder. */
async function openBelow(folder: string): Promise<string[]> {
  const fds = await readdir('/proc/self/fd');
  const paths = await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return paths.filter((path) => path.startsWith(folder));
}

test('a directory that is being made when it is given up is not locked afterwards', async (t) => {
  const { state, again } = await located(t);
  const gradient = state.gradient('a', 0, 100);
  const writing = gradient.write(0, Buffer.from('bytes')).catch(() => undefined);
  await setImmediate();
  await state.close();
  await writing;
  await gradient.close();
  const next = await again();
  assert.equal(await next.isLocked(), false);
  await next.close();
});
