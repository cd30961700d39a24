/** A kernel view that cannot be attached, or not yet: the data plane serves, a sentence says why, and nothing is left behind. */
import assert from 'node:assert/strict';
import { chmod, copyFile, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import {
  decided,
  loopDevicesOf,
  statusOf,
  until,
  type ViewModel,
  viewable,
  viewModel,
} from '../support/kernel-view.ts';
import type { MountReport } from '../support/mount-and-read.ts';
import { runInMountNamespace } from '../support/mount-namespace.ts';
import { output, run } from '../support/run.ts';
import { Server } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';
import { ViewReader } from '../support/view-reader.ts';

const SUPPORT = join(import.meta.dirname, '../support');
const TSX = import.meta.resolve('tsx');

interface Held {
  readonly server: Server;
  readonly folder: string;
  readonly model: ViewModel;
  readonly mount: string;
  readonly reader: ViewReader;
  file(tensor: string): string;
  /** Lets the view be attached. */
  attach(): Promise<void>;
  log(): Promise<string>;
}

/** A mount whose view is prepared, and attached when the test says so. */
async function held(t: TestContext): Promise<Held> {
  let server: Server | undefined;
  // Hooks run in the order of their making: the server ends before the folder is removed, and only when nothing is being attached.
  t.after(async () => {
    await attach();
    await server?.stop();
  });
  const folder = await temporaryDirectory(t);
  const gate = join(folder, 'attach');
  const attach = () => writeFile(gate, '');
  const preload = pathToFileURL(join(SUPPORT, 'held-attach.ts')).href;
  server = await Server.start({
    launcher: ['env', `NODE_OPTIONS=--import=${TSX} --import=${preload}`, `MLFS_TEST_HELD_ATTACH=${gate}`],
  });
  const model = await viewModel(folder);
  const { path: mount } = await server.mount(model.path, { transport: 'kernel', readOnly: true });
  return {
    ...{ server, folder, model, mount, attach, reader: new ViewReader(t) },
    file: (tensor) => join(mount, `model/${tensor}.bin`),
    log: () => output('cat', [join(mount, 'logs/fuse.log')]),
  };
}

const hex = (model: ViewModel, tensor: string, at: number, length: number) =>
  (model.tensors.get(tensor) as Buffer).subarray(at, at + length).toString('hex');

const opens = async (mount: string) => {
  const { counters } = await statusOf(mount);
  return [counters.kernel_view_opens_total, counters.kernel_view_plain_opens_total];
};

/** No loop device over the checkpoint and no mount of EROFS is left. */
async function nothingLeft(path: string): Promise<void> {
  const left = await until(
    () => loopDevicesOf(path),
    (devices) => devices.length === 0,
  );
  assert.deepEqual(left, []);
}

test(
  'opens wait 5 seconds for a view that takes longer, and it serves what is opened when it is there',
  viewable('losetup'),
  async (t) => {
    const { model, mount, reader, file, attach, log } = await held(t);
    assert.equal((await statusOf(mount)).kernel_view.state, 'preparing');
    await reader.open('early', file('t1'));
    assert.equal(await reader.ask('pread', 'early', 5000, 16), hex(model, 't1', 5000, 16));
    const { kernel_view: waiting } = await statusOf(mount);
    assert.equal(waiting.state, 'preparing');
    assert.equal(waiting.reason, 'it is not attached after 5 s; the data plane serves until it is');
    assert.match(await log(), /level=warn msg="opens wait no longer for the kernel view: it is not attached/);
    await reader.open('second', file('t2'));
    assert.equal(await reader.ask('close', 'second'), 'closed');
    assert.deepEqual(await opens(mount), [0, 2]);

    await attach();
    assert.deepEqual(
      [(await decided(mount)).kernel_view.state, (await statusOf(mount)).kernel_view.reason],
      ['in use', null],
    );
    // One is still open without the view, so its opens stay like this; the other one is not.
    await reader.open('again', file('t1'));
    await until(
      () => reader.reopened('other', file('t2'), mount),
      ({ counters }) => counters.kernel_view_open_files === 1,
    );
    assert.equal((await opens(mount))[0], 1);
    assert.equal(await reader.ask('pread', 'again', 700, 16), hex(model, 't1', 700, 16));
    assert.equal(await reader.ask('pread', 'other', 700, 16), hex(model, 't2', 700, 16));
  },
);

test(
  'a checkpoint that changes while its view is attached is read through the server, until it is as it was',
  viewable(),
  async (t) => {
    const { folder, model, mount, reader, file, attach } = await held(t);
    const times = join(folder, 'times');
    await copyFile(model.path, times);
    await output('touch', ['-r', model.path, times]);
    await utimes(model.path, new Date(), new Date(2020, 1));
    await until(
      () => statusOf(mount),
      ({ stale_reason: reason }) => reason === 'changed',
    );
    await attach();
    const { kernel_view: view } = await decided(mount);
    assert.equal(view.state, 'in use');
    assert.match(
      view.reason ?? '',
      /^the checkpoint file was changed: files that are opened now are read through the server$/,
    );
    await reader.open('changed', file('t1'));
    assert.deepEqual(await opens(mount), [0, 1]);
    await output('touch', ['-r', times, model.path]);
    const { kernel_view: resumed } = await until(
      () => statusOf(mount),
      ({ stale_reason: reason }) => reason === null,
    );
    assert.equal(resumed.reason, null);
    await reader.open('current', file('t2'));
    assert.deepEqual(await opens(mount), [1, 1]);
  },
);

/** The smallest limit of descriptors under which a process has this many free ones. */
async function limitFor(pid: number, free: number): Promise<number> {
  const used = new Set((await readdir(`/proc/${pid}/fd`)).map(Number));
  let limit = 0;
  for (let found = 0; found < free; limit++) if (!used.has(limit)) found++;
  return limit;
}

for (const free of [1, 4, 9]) {
  test(
    `with ${free} descriptors left a view is refused with a sentence and leaves no device`,
    viewable('losetup', 'prlimit'),
    async (t) => {
      const { server, model, mount, file, attach, log } = await held(t);
      // The status is read before, so that what it needs is open.
      await statusOf(mount);
      const soft = (limit: number | string) =>
        output('prlimit', ['--pid', String(server.pid), `--nofile=${limit}:`]);
      const before = (
        await output('prlimit', ['--pid', String(server.pid), '--nofile', '--output=SOFT', '--noheadings'])
      ).trim();
      await soft(await limitFor(server.pid, free));
      await attach();
      const { kernel_view: view } = await decided(mount);
      await soft(before);
      assert.equal(view.state, 'off');
      assert.match(view.reason ?? '', /^[a-z].* failed: Too many open files$/);
      assert.match(await log(), /msg="no kernel view: .*: Too many open files"/);
      await nothingLeft(model.path);
      await output('cmp', [model.path, join(mount, 'export/model.pt')]);
      await output('cat', [file('t3')]);
      assert.deepEqual(await opens(mount), [0, 0]);
    },
  );
}

/** Mounts in a namespace in which `prepare` ran, compares the export there, and returns what the mount says. */
async function reportIn(
  t: TestContext,
  prepare: string,
  launcher: readonly string[] = [],
): Promise<MountReport & { readonly checkpoint: string }> {
  // Not in the folder of the run: its parents are root's alone.
  const folder = await mkdtemp('/tmp/mlfs-view-faults-');
  t.after(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o777);
  const { path: checkpoint } = await viewModel(folder);
  const [program, ...args] = [
    ...launcher,
    ...['env', `TMPDIR=${folder}`],
    ...[process.execPath, '--import', TSX, join(SUPPORT, 'mount-and-read.ts'), checkpoint, folder],
  ];
  const outcome = await runInMountNamespace(prepare, program as string, args);
  assert.equal(outcome.code, 0, outcome.stderr);
  return { ...(JSON.parse(outcome.stdout) as MountReport), checkpoint };
}

/** A /dev with nothing in it but what a server needs, and some device files. */
const devWith = (...files: string[]) => `
new=$(mktemp -d)
mount -t tmpfs none $new
for file in fuse null zero urandom random ${files.join(' ')}; do cp -a /dev/$file $new/; done
mkdir $new/shm
mount --move $new /dev
rmdir $new`;

const LACKS: readonly [lack: string, prepare: () => Promise<string> | string, reason: RegExp][] = [
  ['/dev/loop-control', () => devWith(), /^opening \/dev\/loop-control failed: No such file/],
  ['files for loop devices', () => devWith('loop-control'), /^opening \/dev\/loop\d+ failed: No such file/],
  [
    'files for all loop devices but two',
    async () => {
      const free = /\d+/.exec(await output('losetup', ['--find']))?.[0] ?? '0';
      const devices = [0, 1].map(
        (next) => `mknod /dev/loop${Number(free) + next} b 7 ${Number(free) + next}`,
      );
      return [devWith('loop-control'), ...devices].join('\n');
    },
    /^opening \/dev\/loop\d+ failed: No such file/,
  ],
  [
    'a driver for loop devices',
    () => 'mount --bind /dev/null /dev/loop-control',
    /^finding a free loop device failed: Inappropriate ioctl/,
  ],
];

for (const [lack, prepare, reason] of LACKS) {
  test(
    `without ${lack} the data plane serves, and the log and the status say why`,
    viewable('unshare', 'losetup'),
    async (t) => {
      const { status, log, checkpoint } = await reportIn(t, await prepare());
      assert.equal(status.kernel_view.state, 'off');
      assert.match(status.kernel_view.reason ?? '', reason);
      assert.ok(log.includes(`msg="no kernel view: ${status.kernel_view.reason}"`), log);
      assert.equal(status.counters.kernel_view_opens_total, 0);
      await nothingLeft(checkpoint);
    },
  );
}

test(
  'for a user who is not root the data plane serves, and the log and the status say why',
  viewable('unshare', 'setpriv', 'fusermount3', 'losetup'),
  async (t) => {
    // The user may read the project wherever it was cloned, and everybody may open /dev/fuse, as udev has it where there is one.
    const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const reading = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
    const device =
      'd=$(mktemp -d); mknod $d/fuse c 10 229; chmod 666 $d/fuse; mount --bind $d/fuse /dev/fuse; rm -r $d';
    const { status, log, checkpoint } = await reportIn(t, device, [...asNobody, ...reading]);
    assert.equal(status.kernel_view.reason, 'only root may attach it (CAP_SYS_ADMIN)');
    assert.match(log, /level=info msg="no kernel view: only root may attach it \(CAP_SYS_ADMIN\)"/);
    await nothingLeft(checkpoint);
    assert.equal((await run('sh', ['-c', 'grep -c " erofs " /proc/self/mounts'])).stdout, '0\n');
  },
);

test(
  'a view for which there is not enough memory is refused, and is not prepared for ever',
  viewable('prlimit'),
  async (t) => {
    const path = join(await temporaryDirectory(t), 'file');
    await writeFile(path, Buffer.alloc(3 * 2 ** 20 + 100));
    const said = await output(process.execPath, [
      ...['--import', TSX, join(SUPPORT, 'attach-without-memory.ts'), path],
    ]);
    assert.equal(said.trim(), 'attaching the view failed: Cannot allocate memory');
  },
);
