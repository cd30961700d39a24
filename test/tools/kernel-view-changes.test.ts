/** What readers of a kernel view see when the checkpoint, the mount or the server changes under them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rename, truncate, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { MountOptions } from '../../src/mount/mount-options.ts';
import {
  decided,
  loopDevicesOf,
  statusOf,
  until,
  type ViewModel,
  viewable,
  viewModel,
} from '../support/kernel-view.ts';
import { output, run } from '../support/run.ts';
import { Server } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';
import { ViewReader } from '../support/view-reader.ts';

interface Scene {
  readonly server: Server;
  readonly folder: string;
  readonly model: ViewModel;
  readonly mount: string;
  readonly reader: ViewReader;
  file(tensor: string): string;
}

async function scene(t: TestContext, options: MountOptions = {}): Promise<Scene> {
  const server = await Server.start();
  t.after(() => server.stop());
  const folder = await temporaryDirectory(t);
  const model = await viewModel(folder);
  const { path: mount } = await server.mount(model.path, { transport: 'kernel', readOnly: true, ...options });
  assert.equal((await decided(mount)).kernel_view.state, 'in use');
  const reader = new ViewReader(t);
  return { server, folder, model, mount, reader, file: (tensor) => join(mount, `model/${tensor}.bin`) };
}

const hex = (model: ViewModel, tensor: string, at: number, length: number) =>
  (model.tensors.get(tensor) as Buffer).subarray(at, at + length).toString('hex');

const opens = async (mount: string) => {
  const { counters } = await statusOf(mount);
  return [counters.kernel_view_opens_total, counters.kernel_view_plain_opens_total];
};

const stale = (mount: string, reason: string | null) =>
  until(
    () => statusOf(mount),
    ({ stale_reason: now }) => now === reason,
  );

test('the first open of a file decides for all of them, until the last close', viewable(), async (t) => {
  const { model, mount, reader, file } = await scene(t);
  await reader.open('a', file('t1'));
  await utimes(model.path, new Date(), new Date(2020, 1));
  assert.equal((await stale(mount, 'changed')).stale_reason, 'changed');
  // Open already: the same way. Not open: the data plane. A mixture would be EIO.
  await reader.open('b', file('t1'));
  await reader.open('c', file('t2'));
  await reader.open('d', file('t2'));
  assert.deepEqual(await opens(mount), [2, 2]);
  assert.equal(await reader.ask('close', 'a'), 'closed');
  assert.equal(await reader.ask('pread', 'b', 5000, 16), hex(model, 't1', 5000, 16));
  assert.equal(await reader.ask('pread', 'd', 5000, 16), hex(model, 't2', 5000, 16));
  assert.equal(await reader.ask('close', 'b'), 'closed');
  await until(
    () => statusOf(mount),
    ({ counters }) => counters.kernel_view_open_files === 0,
  );
  await reader.open('e', file('t1'));
  assert.deepEqual(await opens(mount), [2, 3]);
  assert.equal(await reader.ask('pread', 'e', 70_000, 16), hex(model, 't1', 70_000, 16));
});

test('a truncated checkpoint is EIO for what is gone, and the server lives', viewable(), async (t) => {
  const { server, model, mount, reader, file } = await scene(t);
  await reader.open('last', file('t8'));
  await reader.open('first', file('t0'));
  await truncate(model.path, (model.offsets.get('t8') as number) + 100_000);
  assert.equal(await reader.ask('pread', 'last', 5000, 16), hex(model, 't8', 5000, 16));
  assert.equal(await reader.ask('pread', 'last', 900_000, 16), 'EIO');
  assert.equal(await reader.ask('pread', 'first', 900_000, 16), hex(model, 't0', 900_000, 16));
  assert.equal((await stale(mount, 'truncated')).state, 'stale');
  assert.ok(server.alive);
  assert.notEqual((await run('cp', [file('t8'), '/dev/null'])).code, 0);
});

test('a mapping of what was cut kills its program and nothing else', viewable(), async (t) => {
  const { server, model, mount, file } = await scene(t);
  const script = `
import mmap, os, sys
with open(sys.argv[1], 'rb') as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    os.truncate(sys.argv[2], 4096)
    print(sum(mapped[at] for at in range(0, len(mapped), 4096)))
`;
  const outcome = await run('python3', ['-c', script, file('t4'), model.path]);
  assert.equal(outcome.signal, 'SIGBUS', outcome.stdout + outcome.stderr);
  assert.ok(server.alive);
  assert.match(await output('ls', [join(mount, 'model')]), /t4\.bin/);
});

test('a checkpoint that is replaced by rename goes on as the one that was opened', viewable(), async (t) => {
  const { folder, model, mount, reader, file } = await scene(t);
  await reader.open('a', file('t5'));
  const other = await viewModel(folder, 'other.pt');
  await rename(other.path, model.path);
  await stale(mount, 'replaced');
  await reader.open('b', file('t6'));
  assert.equal(await reader.ask('pread', 'a', 500_000, 32), hex(model, 't5', 500_000, 32));
  assert.equal(await reader.ask('pread', 'b', 500_000, 32), hex(model, 't6', 500_000, 32));
  assert.deepEqual(await opens(mount), [1, 1]);
});

test('after reload there is a view of the new file, and what was open stays open', viewable(), async (t) => {
  const { server, folder, model, mount, reader, file } = await scene(t);
  await reader.open('old', file('t5'));
  const other = await viewModel(folder, 'other.pt', 4);
  await rename(other.path, model.path);
  assert.equal((await server.ask({ reload: mount })).reloaded, true);
  const status = await decided(mount);
  assert.deepEqual(
    [status.kernel_view.state, status.kernel_view.files, status.state],
    ['in use', 5, 'current'],
  );
  await reader.open('new', file('t2'));
  assert.equal(await reader.ask('pread', 'old', 700_000, 32), hex(model, 't5', 700_000, 32));
  assert.equal(await reader.ask('pread', 'new', 700_000, 32), hex(other, 't2', 700_000, 32));
  assert.equal((await opens(mount))[0], 2);
  await reader.ask('close', 'old');
  // The devices over the old file, which has no name any more, end with its last reader.
  const left = await until(
    () => loopDevicesOf('(deleted)').then((lines) => lines.filter((line) => line.includes(model.path))),
    (lines) => lines.length === 0,
  );
  assert.deepEqual(left, []);
});

test('a mount that follows its checkpoint has a view of each one', viewable(), async (t) => {
  const { folder, model, mount, reader, file } = await scene(t, { follow: true });
  await reader.open('old', file('t7'));
  const other = await viewModel(folder, 'other.pt', 3);
  await rename(other.path, model.path);
  const status = await until(
    () => statusOf(mount),
    ({ kernel_view: view, reloads_total: reloads }) => reloads === 1 && view.state === 'in use',
  );
  assert.equal(status.kernel_view.files, 4);
  await reader.open('new', file('t1'));
  assert.equal(await reader.ask('pread', 'old', 1000, 32), hex(model, 't7', 1000, 32));
  assert.equal(await reader.ask('pread', 'new', 1000, 32), hex(other, 't1', 1000, 32));
});

test(
  'after a commit by another mount, files that are opened anew show the new bytes',
  viewable(),
  async (t) => {
    const { server, model, mount, reader, file } = await scene(t);
    await reader.open('before', file('t2'));
    assert.equal(await reader.ask('pread', 'before', 0, 16), hex(model, 't2', 0, 16));
    const { path: writable } = await server.mount(model.path, { transport: 'kernel' });
    const place = 600_000;
    const script = `
import os, sys
file = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(file, bytes.fromhex('${'ab'.repeat(16)}'), ${place})
os.close(file)
`;
    await output('python3', ['-c', script, join(writable, 'model/t2.bin')]);
    // Uncommitted edits are the other mount's alone.
    assert.equal(await reader.ask('pread', 'before', place - 64, 16), hex(model, 't2', place - 64, 16));
    await output('sh', ['-c', `echo commit > "$1"`, 'sh', join(writable, 'sys/control')]);
    await stale(mount, 'changed');
    // Open files: each page shows the old bytes or the new ones; this one was read before.
    assert.equal(await reader.ask('pread', 'before', 0, 16), hex(model, 't2', 0, 16));
    assert.equal(await reader.ask('close', 'before'), 'closed');
    await until(
      () => statusOf(mount),
      ({ counters }) => counters.kernel_view_open_files === 0,
    );
    await reader.open('after', file('t2'));
    assert.equal(await reader.ask('pread', 'after', place, 16), 'ab'.repeat(16));
    assert.equal((await opens(mount))[1], 1);
  },
);

test(
  'a server that is killed leaves no mount of EROFS and no loop device',
  viewable('losetup'),
  async (t) => {
    const { server, model, mount, reader, file } = await scene(t);
    await reader.open('a', file('t1'));
    assert.ok((await loopDevicesOf(model.path)).length > 0);
    const ended = once(server.process, 'exit');
    process.kill(server.pid, 'SIGKILL');
    await ended;
    await reader.ask('close', 'a');
    await output('umount', ['-l', mount]);
    assert.deepEqual(
      await until(
        () => loopDevicesOf(model.path),
        (devices) => devices.length === 0,
      ),
      [],
    );
    assert.doesNotMatch(await output('cat', ['/proc/self/mountinfo']), /erofs/);
  },
);

test('files of the view are opened and closed while the event loop stands still', viewable(), async (t) => {
  const { server, folder, model, reader, mount, file } = await scene(t);
  await output('stat', [file('t1'), file('t2')]);
  const release = join(folder, 'release');
  await reader.open('known', file('t1'));
  await server.block(release);
  for (const key of ['x', 'y', 'z']) {
    await reader.open(key, file('t1'));
    assert.equal(await reader.ask('pread', key, 123_456, 16), hex(model, 't1', 123_456, 16));
    assert.equal(await reader.ask('close', key), 'closed');
  }
  await server.release(release);
  assert.equal((await opens(mount))[0], 4);
});

test('an open right after the mount waits for the view instead of missing it', viewable(), async (t) => {
  const { server, model } = await scene(t);
  for (let round = 0; round < 5; round++) {
    const { path } = await server.mount(model.path, { transport: 'kernel', readOnly: true });
    await output('cmp', [model.path, join(path, 'export/model.pt')]);
    const { counters } = await statusOf(path);
    assert.deepEqual([counters.kernel_view_opens_total, counters.kernel_view_plain_opens_total], [1, 0]);
    await server.unmount(path);
  }
});
