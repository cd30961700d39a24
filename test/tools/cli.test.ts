/** The command line with real mounts, on each transport that is there. This process never serves a mount, so it may read one. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import {
  appendFile,
  open,
  readdir,
  readFile,
  rename,
  stat,
  statfs,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { PyDict } from '../../src/checkpoint/pickle/values.ts';
import { tensorToWrite, writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import {
  alive,
  eventually,
  foreground,
  mountsOn,
  scene,
  serverPid,
  statusOf,
  WEIGHT,
} from '../support/cli-scene.ts';
import { requires } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { runMlfs } from '../support/run-mlfs.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const TRANSPORTS = ['kernel', 'fuse-native'] as const;

for (const transport of TRANSPORTS) {
  const here = requires('fuse', transport === 'kernel' ? 'addon' : transport);

  test(`${transport}: mount returns when the mount answers, umount when it is gone`, here, async (t) => {
    const at = await scene(t);
    const mounted = await runMlfs(['mount', '--transport', transport, at.checkpoint, at.mountpoint]);
    assert.equal(mounted.code, 0, mounted.stderr);
    const line = mounted.stdout.toString();
    assert.match(line, /^mounted .*model\.pt at .*mount: 1 tensor, 24 B, \d+ ms\n$/);
    assert.deepEqual(await readFile(join(at.mountpoint, 'model/fc/weight.bin')), WEIGHT);
    const rooms = await readdir(at.mountpoint);
    for (const room of ['export', 'logs', 'model', 'sys']) assert.ok(rooms.includes(room), room);
    assert.deepEqual((await readdir(join(at.mountpoint, 'model/fc'))).sort(), ['weight.bin', 'weight.grad']);
    const pid = await serverPid(at);

    await appendFile(join(at.mountpoint, 'logs/fuse.log'), 'a line of mine\n');
    const log = await readFile(join(at.mountpoint, 'logs/fuse.log'), 'utf8');
    assert.match(log, /msg=mounted[^\n]*\na line of mine\n$/);
    assert.equal(existsSync(`${at.checkpoint}.mlfs`), false, 'reading makes nothing');

    const unmounted = await runMlfs(['umount', at.mountpoint]);
    assert.equal(unmounted.code, 0, unmounted.stderr);
    assert.deepEqual(await mountsOn(at.mountpoint), []);
    await eventually('the server ends', async () => !alive(pid));
    const again = await runMlfs(['umount', at.mountpoint]);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /nothing is mounted there/);
  });

  test(
    `${transport}: metrics are scraped where mount and status say; a port in use is said first`,
    here,
    async (t) => {
      const at = await scene(t);
      const mounted = await runMlfs([
        'mount',
        '--transport',
        transport,
        '--metrics',
        '0',
        at.checkpoint,
        at.mountpoint,
      ]);
      const [, url = ''] =
        /, metrics at (http:\/\/127\.0\.0\.1:\d+\/metrics)$/m.exec(String(mounted.stdout)) ?? [];
      assert.match(await (await fetch(url)).text(), /^mlfs_tensors 1$/m);
      assert.ok((await runMlfs(['status', at.mountpoint])).stdout.includes(`metrics     ${url}\n`));
      const other = await scene(t);
      const port = new URL(url).port;
      const refused = await runMlfs(['mount', '--metrics', port, other.checkpoint, other.mountpoint]);
      assert.equal(refused.code, 4);
      assert.match(
        refused.stderr,
        new RegExp(`127\\.0\\.0\\.1:${port}: another program listens there\n  try: `),
      );
      assert.deepEqual(await mountsOn(other.mountpoint), []);
      assert.deepEqual(await readdir(other.folder), ['model.pt', 'mount']);
      await runMlfs(['umount', at.mountpoint]);
      await eventually('the address is closed', () =>
        fetch(url).then(
          () => false,
          () => true,
        ),
      );
    },
  );

  test(`${transport}: a mount point where a file is wanted is answered with the file`, here, async (t) => {
    const at = await scene(t);
    await runMlfs(['mount', '--transport', transport, at.checkpoint, at.mountpoint]);
    for (const command of ['ls', 'info', 'bench', 'verify']) {
      const { code, stderr } = await runMlfs([command, at.mountpoint]);
      assert.equal(code, 2);
      const advice = `mlfs ${command} ${at.checkpoint}, or with the edits of the mount: mlfs ${command} `;
      assert.ok(stderr.includes(`: is a mount of ${at.checkpoint}, and mlfs ${command} takes`), stderr);
      assert.ok(stderr.includes(`  try: ${advice}${at.mountpoint}/export/model.pt\n`), stderr);
    }
    assert.equal((await runMlfs(['ls', `${at.mountpoint}/export/model.pt`])).code, 0);
    await writeFile(at.checkpoint, await readFile(at.checkpoint));
    const stale = await runMlfs(['status', at.mountpoint]);
    assert.match(String(stale.stdout), /not the file that was opened: changed\n/);
    assert.ok(stale.stdout.includes(`  try: mlfs reload ${at.mountpoint}\n`));
    await runMlfs(['umount', at.mountpoint]);
  });

  test(
    `${transport}: a read-only mount that is stale is not advised to reload, which it refuses`,
    here,
    async (t) => {
      const at = await scene(t);
      await runMlfs(['mount', '--transport', transport, '--read-only', at.checkpoint, at.mountpoint]);
      await writeFile(at.checkpoint, await readFile(at.checkpoint));
      const { stdout } = await runMlfs(['status', at.mountpoint]);
      assert.ok(`${stdout}`.includes(`  try: mlfs umount ${at.mountpoint}, and mount again`), `${stdout}`);
      assert.equal((await runMlfs(['reload', at.mountpoint])).code, 2);
    },
  );

  test(`${transport}: a busy mount is not unmounted, unless lazily`, here, async (t) => {
    const at = await scene(t);
    await runMlfs(['mount', '--transport', transport, at.checkpoint, at.mountpoint]);
    const pid = await serverPid(at);
    const held = await open(join(at.mountpoint, 'model/fc/weight.bin'));
    const busy = await runMlfs(['umount', at.mountpoint]);
    assert.equal(busy.code, 4);
    assert.match(busy.stderr, /is in use\n {2}try: mlfs umount --lazy/);
    const lazy = await runMlfs(['umount', '--lazy', at.mountpoint]);
    assert.equal(lazy.code, 0, lazy.stderr);
    assert.deepEqual(await mountsOn(at.mountpoint), []);
    assert.equal((await held.read(Buffer.alloc(24), 0, 24, 0)).bytesRead, 24);
    await held.close();
    await eventually('the server ends', async () => !alive(pid));
  });

  test(
    `${transport}: a mount that somebody looks at for a moment is unmounted when he is done`,
    here,
    async (t) => {
      const at = await scene(t);
      await runMlfs(['mount', '--transport', transport, at.checkpoint, at.mountpoint]);
      const held = await open(join(at.mountpoint, 'model/fc/weight.bin'));
      // Stands before umount(8) in the PATH, and says when that was refused.
      const programs = await temporaryDirectory(t);
      const refused = join(programs, 'refused');
      const umount = (await output('sh', ['-c', 'command -v umount'])).trim();
      await writeFile(
        join(programs, 'umount'),
        `#!/bin/sh\n${umount} "$@" || { echo > ${refused}; exit 32; }\n`,
        {
          mode: 0o755,
        },
      );
      const unmounting = runMlfs(['umount', at.mountpoint], { PATH: `${programs}:${process.env.PATH}` });
      await eventually('umount is refused once', async () => existsSync(refused));
      await held.close();
      const { code, stderr } = await unmounting;
      assert.equal(code, 0, stderr);
      assert.deepEqual(await mountsOn(at.mountpoint), []);
    },
  );

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    test(`${transport}: ${signal} unmounts a foreground mount, and twice does no harm`, here, async (t) => {
      const at = await scene(t);
      const child = await foreground(at, transport);
      child.kill(signal);
      child.kill(signal);
      const [code] = await once(child, 'close');
      assert.equal(code, 0);
      assert.deepEqual(await mountsOn(at.mountpoint), []);
    });
  }

  test(
    `${transport}: a signal while the mount is in use detaches it and serves to the end`,
    here,
    async (t) => {
      const at = await scene(t);
      const child = await foreground(at, transport);
      const held = await open(join(at.mountpoint, 'model/fc/weight.bin'));
      const said = once(child.stderr as NodeJS.ReadableStream, 'data');
      child.kill('SIGTERM');
      assert.match(String(await said), /is in use; it is detached now/);
      await eventually('the mount point is free', async () => (await mountsOn(at.mountpoint)).length === 0);
      assert.equal((await held.read(Buffer.alloc(24), 0, 24, 0)).bytesRead, 24);
      await held.close();
      const [code] = await once(child, 'close');
      assert.equal(code, 0);
    },
  );

  test(`${transport}: a mount whose server was killed is detached by the next mount`, here, async (t) => {
    const at = await scene(t);
    await runMlfs(['mount', '--transport', transport, at.checkpoint, at.mountpoint]);
    const pid = await serverPid(at);
    process.kill(pid, 'SIGKILL');
    await eventually('the mount is dead', () =>
      statfs(at.mountpoint).then(
        () => false,
        (error) => error.code === 'ENOTCONN',
      ),
    );
    const again = await runMlfs(['mount', '--transport', transport, at.checkpoint, at.mountpoint]);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, /detached a dead mount/);
    assert.equal((await mountsOn(at.mountpoint)).length, 1);
    assert.deepEqual(await readFile(join(at.mountpoint, 'model/fc/weight.bin')), WEIGHT);
  });

  test(
    `${transport}: a second mount on the same directory is a conflict, on another it must be read-only`,
    here,
    async (t) => {
      const at = await scene(t);
      const other = await scene(t);
      await runMlfs(['mount', '--transport', transport, at.checkpoint, at.mountpoint]);
      const conflict = await runMlfs(['mount', '--transport', transport, at.checkpoint, at.mountpoint]);
      assert.equal(conflict.code, 4);
      assert.match(conflict.stderr, /model\.pt is mounted there already\n {2}try: mlfs umount/);
      const second = ['mount', '--transport', transport, at.checkpoint, other.mountpoint];
      const refused = await runMlfs(second);
      assert.equal(refused.code, 4);
      assert.ok(refused.stderr.includes(`process ${await serverPid(at)}`), refused.stderr);
      assert.ok(refused.stderr.includes(at.mountpoint), refused.stderr);
      assert.match(refused.stderr, /--read-only/);
      const readOnly = await runMlfs([...second, '--read-only']);
      assert.equal(readOnly.code, 0, readOnly.stderr);
      assert.deepEqual(await readFile(join(other.mountpoint, 'model/fc/weight.bin')), WEIGHT);
    },
  );

  test(
    `${transport}: a checkpoint that is replaced or truncated makes the mount stale, and the server lives`,
    here,
    async (t) => {
      const at = await scene(t);
      await runMlfs(['mount', '--transport', transport, at.checkpoint, at.mountpoint]);
      const status = () => statusOf(at);
      assert.equal((await status()).state, 'current');
      await writeFile(`${at.checkpoint}.new`, 'another file');
      await rename(at.checkpoint, `${at.checkpoint}.old`);
      await rename(`${at.checkpoint}.new`, at.checkpoint);
      assert.deepEqual([(await status()).state, (await status()).stale_reason], ['stale', 'replaced']);
      // What was opened is still there, under another name.
      assert.deepEqual(await readFile(join(at.mountpoint, 'model/fc/weight.bin')), WEIGHT);
      await rename(`${at.checkpoint}.old`, at.checkpoint);
      assert.equal((await status()).state, 'current');
      await truncate(at.checkpoint, 100);
      assert.equal((await status()).stale_reason, 'truncated');
      assert.match(
        await readFile(join(at.mountpoint, 'logs/fuse.log'), 'utf8'),
        /level=warn [^\n]*truncated/,
      );
    },
  );

  test(`${transport}: doctor and demo make a mount of their own and leave nothing`, here, async (t) => {
    const folder = await temporaryDirectory(t);
    const demo = await runMlfs(['demo', '--transport', transport], { TMPDIR: folder });
    assert.equal(demo.code, 0, demo.stderr);
    assert.match(demo.stdout.toString(), /the same bytes that were written/);
    assert.match(demo.stdout.toString(), /committed 4 bytes and 2 checksums/);
    assert.match(demo.stdout.toString(), /every CRC-32 is right/);
    if (transport === TRANSPORTS[0]) {
      const doctor = await runMlfs(['doctor', '--json'], { TMPDIR: folder });
      const findings = JSON.parse(doctor.stdout.toString()) as { name: string; state: string }[];
      assert.equal(findings.find(({ name }) => name === 'trial mount')?.state, 'ok');
      assert.equal(doctor.code, 0);
    }
    const left = await readdir(folder);
    assert.deepEqual(
      left.filter((name) => name.startsWith('mlfs')),
      [],
    );
  });
}

test(
  "what the background child fails with is the parent's error and exit code",
  requires('fuse'),
  async (t) => {
    const at = await scene(t);
    await writeFile(at.checkpoint, 'no checkpoint at all, just some text');
    const failed = await runMlfs(['mount', at.checkpoint, at.mountpoint]);
    assert.equal(failed.code, 3);
    assert.match(failed.stderr, /^mlfs: .*model\.pt/);
    assert.deepEqual(await mountsOn(at.mountpoint), []);
  },
);

test(
  'a mount point must be an empty directory that does not hold the checkpoint',
  requires('fuse'),
  async (t) => {
    const at = await scene(t);
    const folder = join(at.mountpoint, '..');
    for (const [mountpoint, code, says] of [
      [join(folder, 'missing'), 1, /no such directory\n {2}try: mkdir -p/],
      [at.checkpoint, 2, /is not a directory/],
      [folder, 2, /holds the checkpoint/],
    ] as const) {
      const refused = await runMlfs(['mount', '--nonempty', at.checkpoint, mountpoint]);
      assert.equal(refused.code, code, refused.stderr);
      assert.match(refused.stderr, says);
    }
    await writeFile(join(at.mountpoint, 'precious'), 'x');
    const full = await runMlfs(['mount', at.checkpoint, at.mountpoint]);
    assert.equal(full.code, 2);
    assert.match(full.stderr, /is not empty/);
    const over = await runMlfs(['mount', '--nonempty', at.checkpoint, at.mountpoint]);
    assert.equal(over.code, 0, over.stderr);
  },
);

test("the prototype's spelling mounts, with the state dict it names", requires('fuse'), async (t) => {
  const at = await scene(t);
  const root = new PyDict();
  const inner = (value: number) => {
    const dict = new PyDict();
    dict.set('w', tensorToWrite('uint8', [1], Buffer.from([value])));
    return dict;
  };
  root.set('state_dict', inner(1));
  root.set('ema', inner(2));
  root.set('epoch', 7);
  await writeTorchZip(at.checkpoint, { root });
  const mounted = await runMlfs([
    '--model',
    at.checkpoint,
    '--mount',
    at.mountpoint,
    '--wait',
    '--state-dict',
    'ema',
    '--unsafe-write',
    '-o',
    'ro,fsname=my model',
  ]);
  assert.equal(mounted.code, 0, mounted.stderr);
  assert.match(mounted.stderr, /--unsafe-write has no effect on a read-only mount/);
  assert.deepEqual(await readFile(join(at.mountpoint, 'model/w.bin')), Buffer.from([2]));
  assert.deepEqual(await readFile(join(at.mountpoint, 'checkpoint/state_dict/w.bin')), Buffer.from([1]));
  assert.equal((await readFile(join(at.mountpoint, 'checkpoint/epoch.json'), 'utf8')).trim(), '7');
  const ino = async (path: string) => (await stat(join(at.mountpoint, path))).ino;
  assert.equal(await ino('model/w.bin'), await ino('checkpoint/ema/w.bin'));
  assert.equal((await mountsOn(at.mountpoint))[0]?.source, 'my model');
  await assert.rejects(appendFile(join(at.mountpoint, 'logs/fuse.log'), 'x'), { code: 'EROFS' });
});
