/** The kernel view of a read-only mount: what programs read, and which of the two ways served them. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import type { MountOptions } from '../../src/mount/mount-options.ts';
import type { StatusDocument } from '../../src/targets/status-document.ts';
import {
  decided,
  loopDevicesOf,
  statusOf,
  until,
  type ViewModel,
  viewable,
  viewModel,
} from '../support/kernel-view.ts';
import { output } from '../support/run.ts';
import { Server } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';

interface Scene {
  readonly server: Server;
  readonly model: ViewModel;
  readonly mount: string;
  readonly status: StatusDocument;
}

async function scene(t: TestContext, options: MountOptions = {}): Promise<Scene> {
  const server = await Server.start();
  t.after(() => server.stop());
  const model = await viewModel(await temporaryDirectory(t));
  const { path: mount } = await server.mount(model.path, { transport: 'kernel', readOnly: true, ...options });
  return { server, model, mount, status: await decided(mount) };
}

/** Reads files in every way and prints those whose bytes are others than the checkpoint's: read.py CHECKPOINT MOUNT OFFSETS. */
const READ_ALL = `
import json, mmap, os, random, sys
checkpoint, mount, offsets = open(sys.argv[1], 'rb').read(), sys.argv[2], json.loads(sys.argv[3])
page = mmap.mmap(-1, 1 << 22)
for name, offset in offsets.items():
    path = f'{mount}/model/{name}.bin'
    size = os.path.getsize(path)
    want = checkpoint[offset:offset + size]
    with open(path, 'rb') as file:
        if file.read() != want: print(name, 'read')
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            if mapped[:] != want: print(name, 'mmap')
        for _ in range(100):
            at, length = random.randrange(size), random.randrange(1, 20000)
            if os.pread(file.fileno(), length, at) != want[at:at + length]: print(name, 'pread', at, length)
        if os.pread(file.fileno(), 10, size) != b'' or os.pread(file.fileno(), 10, size - 3) != want[-3:]: print(name, 'end')
    direct = os.open(path, os.O_RDONLY | os.O_DIRECT)
    if os.preadv(direct, [page], 0) != size or page[:size] != want: print(name, 'direct')
    os.close(direct)
print('done')
`;

const readAll = ({ model, mount }: Pick<Scene, 'model' | 'mount'>) =>
  output('python3', ['-c', READ_ALL, model.path, mount, JSON.stringify(Object.fromEntries(model.offsets))]);

test('every way of reading gets the exact bytes, and no READ reaches the server', viewable(), async (t) => {
  const { model, mount, status } = await scene(t);
  assert.deepEqual(
    [status.kernel_view.state, status.kernel_view.reason, status.kernel_view.files],
    ['in use', null, model.tensors.size + 1],
  );
  assert.equal(await readAll({ model, mount }), 'done\n');
  await output('cmp', [model.path, join(mount, 'export/model.pt')]);
  const { counters } = await statusOf(mount);
  assert.equal(counters.kernel_view_opens_total, model.tensors.size * 2 + 1);
  assert.equal(counters.kernel_view_plain_opens_total, 0);
  assert.equal(counters.native_reads_total, 0);
  assert.equal(counters.kernel_view_open_files, 0);
});

test('ten thousand random reads and a second pass send the server no READ', viewable(), async (t) => {
  const { mount } = await scene(t);
  const before = (await statusOf(mount)).counters;
  const script = `
import os, random, sys
file = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(file).st_size
for _ in range(10000): assert len(os.pread(file, 4096, random.randrange(size - 4096))) == 4096
for _ in range(2):
    assert sum(len(os.pread(file, 65536, at)) for at in range(0, size, 65536)) == size
`;
  await output('python3', ['-c', script, join(mount, 'model/t3.bin')]);
  const { counters } = await statusOf(mount);
  assert.equal(counters.native_reads_total, 0);
  assert.equal(counters.kernel_view_opens_total, (before.kernel_view_opens_total ?? 0) + 1);
  // Two looks at the status, an open and a close, and some attributes: each message is counted, and none is a READ of the tensor.
  assert.ok((counters.requests_total ?? 0) - (before.requests_total ?? 0) < 100);
});

test('files of less than 1 MiB are left to the data plane, wherever they begin', viewable(), async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const path = join(await temporaryDirectory(t), 'small.pt');
  const tensor = (name: string, length: number) => ({
    name,
    dtype: 'uint8' as const,
    shape: [length],
    fill: Buffer.alloc(length, name),
  });
  const small = Array.from({ length: 20 }, (_, i) => tensor(`small${i}`, 200 + 64 * i));
  await writeTorchZip(path, { tensors: [...small, tensor('almost', 2 ** 20 - 1), tensor('large', 2 ** 20)] });
  const { path: mount } = await server.mount(path, { transport: 'kernel', readOnly: true });
  const { kernel_view: view } = await decided(mount);
  assert.deepEqual([view.state, view.files], ['in use', 2], 'the large tensor and the exported file');
  const script = `
import sys
for name in sys.argv[2:]:
    read = open(f'{sys.argv[1]}/model/{name}.bin', 'rb').read()
    assert read == (name.encode() * (1 << 20))[:len(read)] and len(read) >= 200, name
`;
  await output('python3', ['-c', script, mount, 'almost', ...small.map(({ name }) => name)]);
  assert.equal((await statusOf(mount)).counters.kernel_view_opens_total, 0);
  await output('cmp', [path, join(mount, 'export/model.pt')]);
  await output('cat', [join(mount, 'model/large.bin')]);
  assert.equal((await statusOf(mount)).counters.kernel_view_opens_total, 2);
});

test('a writable mount never has one, nor has one with --kernel-view off', viewable(), async (t) => {
  const cases: readonly [MountOptions, RegExp][] = [
    [{ readOnly: false }, /^the mount is writable$/],
    [{ kernelView: 'off' }, /^--kernel-view is off$/],
    [{ transport: 'fuse-native' }, /^the transport is fuse-native$/],
  ];
  for (const [options, reason] of cases) {
    const { model, mount, status, server } = await scene(t, options);
    assert.equal(status.kernel_view.state, 'off');
    assert.match(status.kernel_view.reason ?? '', reason);
    // What the user asked for is not news.
    const news = options.transport === 'fuse-native' ? 1 : 0;
    const log = await output('cat', [join(mount, 'logs/fuse.log')]);
    assert.equal(log.split('no kernel view: ').length - 1, news, log);
    assert.equal(await readAll({ model, mount }), 'done\n');
    assert.equal((await statusOf(mount)).counters.kernel_view_opens_total ?? 0, 0);
    await server.unmount(mount);
  }
});

test('fifty mounts and unmounts leave nothing behind', viewable('losetup'), async (t) => {
  const { model, mount, server } = await scene(t);
  await server.unmount(mount);
  for (let round = 0; round < 50; round++) {
    const { path } = await server.mount(model.path, { transport: 'kernel', readOnly: true });
    if (round % 2 === 0) await output('cmp', [model.path, join(path, 'export/model.pt')]);
    await server.unmount(path);
  }
  assert.deepEqual(
    await until(
      () => loopDevicesOf(model.path),
      (devices) => devices.length === 0,
    ),
    [],
  );
  const descriptors = await output('ls', [`/proc/${server.pid}/fd`, '-l']);
  assert.doesNotMatch(descriptors, /loop|mlfs-view|anon_inode:\[fscontext\]/);
});

test('two mounts of one file serve it side by side', viewable(), async (t) => {
  const { model, mount, server } = await scene(t);
  const { path: other } = await server.mount(model.path, { transport: 'kernel', readOnly: true });
  assert.equal((await decided(other)).kernel_view.state, 'in use');
  assert.equal(await readAll({ model, mount }), 'done\n');
  assert.equal(await readAll({ model, mount: other }), 'done\n');
  await server.unmount(mount);
  assert.equal(await readAll({ model, mount: other }), 'done\n');
});
