/** Editing with the command line and ordinary file calls, on each transport that is there. This process serves no mount. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { open, readFile, rename, stat, statfs, utimes, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import type { TargetStatus } from '../../src/targets/status-document.ts';
import {
  alive,
  eventually,
  foreground,
  mountsOn,
  type Scene,
  scene,
  serverPid,
  statusOf,
  WEIGHT,
} from '../support/cli-scene.ts';
import { requires } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { runMlfs } from '../support/run-mlfs.ts';

const TRANSPORTS = ['kernel', 'fuse-native'] as const;
const ONE = Buffer.from(new Float32Array([1]).buffer);
const EDITED = Buffer.concat([ONE, WEIGHT.subarray(4)]);
const OTHER = Buffer.from(new Float32Array([9, 8, 7, 6, 5, 4]).buffer);

const weightOf = ({ mountpoint }: Scene) => join(mountpoint, 'model/fc/weight.bin');
const stateOf = ({ checkpoint }: Scene) => `${checkpoint}.mlfs`;

/** Overwrites the first float in place. */
async function edit(at: Scene, bytes = ONE): Promise<void> {
  const file = await open(weightOf(at), 'r+');
  try {
    await file.write(bytes, 0, bytes.length, 0);
  } finally {
    await file.close();
  }
}

async function mounted(at: Scene, transport: string, ...flags: string[]): Promise<string> {
  const { code, stderr } = await runMlfs([
    'mount',
    '--transport',
    transport,
    ...flags,
    at.checkpoint,
    at.mountpoint,
  ]);
  assert.equal(code, 0, stderr);
  return stderr;
}

async function mlfs(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await runMlfs(args);
  assert.equal(code, 0, `mlfs ${args.join(' ')}: ${stderr}`);
  return { stdout: stdout.toString(), stderr };
}

/** As somebody does it who does not know of mlfs. */
function detach({ mountpoint }: Scene): Promise<string> {
  return process.getuid?.() === 0
    ? output('umount', [mountpoint])
    : output('fusermount3', ['-u', mountpoint]);
}

async function unmounted(at: Scene): Promise<string> {
  const pid = await serverPid(at);
  const { stderr } = await mlfs('umount', at.mountpoint);
  await eventually('the server ends', async () => !alive(pid));
  return stderr;
}

async function tensorOf(checkpoint: string): Promise<Buffer> {
  return (await runMlfs(['cat', checkpoint, 'fc.weight'])).stdout;
}

/** Another checkpoint of the same tensor, renamed over the first or written into it. */
async function replace({ checkpoint, folder }: Scene, fill = OTHER): Promise<void> {
  const path = join(folder, 'new.pt');
  await writeTorchZip(path, { tensors: [{ name: 'fc.weight', dtype: 'float32', shape: [2, 3], fill }] });
  await rename(path, checkpoint);
}

for (const transport of TRANSPORTS) {
  const here = requires('fuse', transport === 'kernel' ? 'addon' : transport);

  test(`${transport}: an edit is in status, and in the file after commit`, here, async (t) => {
    const at = await scene(t);
    const before = await readFile(at.checkpoint);
    await mounted(at, transport);
    assert.match((await mlfs('status', at.mountpoint)).stdout, /^edits +none$/m);
    assert.match((await mlfs('commit', at.mountpoint)).stdout, /nothing to commit/);
    assert.equal(existsSync(stateOf(at)), false);

    await edit(at);
    assert.deepEqual(await readFile(weightOf(at)), EDITED);
    assert.deepEqual(await readFile(at.checkpoint), before, 'the file is untouched, byte for byte');
    const status = JSON.parse((await mlfs('status', '--json', at.mountpoint)).stdout) as TargetStatus;
    assert.deepEqual([status.mode, status.state, status.dirty_bytes], ['read-write', 'current', 2]);
    assert.deepEqual(
      status.dirty_tensors.map(({ name, bytes }) => [name, bytes]),
      [['fc.weight', 2]],
    );
    assert.equal(status.journal?.state_directory, stateOf(at));
    const text = (await mlfs('status', join(at.mountpoint, 'model/fc'))).stdout;
    assert.match(text, /^edits +2 bytes in 1 range$/m);
    assert.match(text, /^fc\.weight +2 +1$/m);
    await mlfs('flush', at.mountpoint);

    const dry = await mlfs('commit', '--dry-run', at.mountpoint);
    assert.match(dry.stdout, /would commit 2 bytes in 1 range, \d checksum/);
    assert.deepEqual(await readFile(at.checkpoint), before);
    const committed = await mlfs('commit', at.mountpoint);
    assert.match(committed.stdout, /committed 2 bytes in 1 range/);
    assert.deepEqual(await tensorOf(at.checkpoint), EDITED);
    await mlfs('verify', at.checkpoint);
    const after = await statusOf(at);
    assert.deepEqual([after.state, after.dirty_bytes, after.commits_total], ['current', 0, 1]);
    await unmounted(at);
    assert.equal(existsSync(stateOf(at)), false, 'nothing is kept, so nothing is left');
  });

  test(`${transport}: a checkpoint that is mounted is committed by its mount`, here, async (t) => {
    const at = await scene(t);
    await mounted(at, transport, '-o', 'fsname=a name of its own');
    await edit(at);
    const status = await mlfs('status', at.checkpoint);
    assert.match(status.stderr, /is mounted at .*mount; the mount carries it out/);
    assert.match(status.stdout, /2 bytes in 1 range/);
    const second = await runMlfs(['mount', at.checkpoint, at.folder]);
    assert.equal(second.code, 2, 'a folder that holds the checkpoint');
    await mlfs('commit', at.checkpoint);
    assert.deepEqual(await tensorOf(at.checkpoint), EDITED);
    await edit(at, WEIGHT.subarray(0, 4));
    assert.match((await mlfs('discard', at.checkpoint)).stdout, /dropped 2 bytes in 1 range/);
    assert.deepEqual(await readFile(weightOf(at)), EDITED);
  });

  test(`${transport}: edits outlive the mount, and the next one brings them back`, here, async (t) => {
    const at = await scene(t);
    await mounted(at, transport);
    await edit(at);
    assert.match(await unmounted(at), /2 bytes of edits are kept in .*model\.pt\.mlfs; mlfs commit/);
    for (const command of ['cat', 'info', 'ls', 'verify']) {
      const shown = await runMlfs([command, at.checkpoint, ...(command === 'cat' ? ['fc.weight'] : [])]);
      assert.equal(shown.code, 0);
      assert.match(shown.stderr, /2 bytes of uncommitted edits in .* are not shown/, command);
    }
    assert.equal((await runMlfs(['ls', '--json', at.checkpoint])).stderr, '');
    assert.deepEqual(await tensorOf(at.checkpoint), WEIGHT);

    const notice = await mounted(at, transport, '--read-only');
    assert.match(notice, /2 bytes of uncommitted edits in .* are not shown/);
    assert.deepEqual(await readFile(weightOf(at)), WEIGHT);
    await assert.rejects(edit(at), (error: NodeJS.ErrnoException) => /EROFS|EACCES/.test(error.code ?? ''));
    await unmounted(at);

    assert.match(
      await mounted(at, transport),
      /brought back 2 bytes of edits in 1 range from .*model\.pt\.mlfs/,
    );
    assert.deepEqual(await readFile(weightOf(at)), EDITED);
  });

  test(`${transport}: edits of a checkpoint that nobody has mounted`, here, async (t) => {
    const at = await scene(t);
    await mounted(at, transport);
    await edit(at);
    const pid = await serverPid(at);
    process.kill(pid, 'SIGKILL');
    await eventually('the server is gone', async () => !alive(pid));
    await runMlfs(['umount', '--lazy', at.mountpoint]);

    const status = JSON.parse((await mlfs('status', '--json', at.checkpoint)).stdout) as TargetStatus;
    assert.deepEqual(
      [status.mode, status.state, status.dirty_bytes, status.dirty_tensors.map(({ name }) => name)],
      ['unmounted', 'current', 2, ['fc.weight']],
    );
    const copy = join(at.folder, 'copy.pt');
    assert.match(
      (await mlfs('commit', at.checkpoint, '--to', copy)).stdout,
      /copy\.pt: written with 2 bytes/,
    );
    assert.deepEqual(await tensorOf(copy), EDITED);
    assert.deepEqual(await tensorOf(at.checkpoint), WEIGHT);
    const again = await runMlfs(['commit', at.checkpoint, '--to', copy]);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /already exists\n {2}try: .*--force/);
    await mlfs('commit', at.checkpoint, '--to', copy, '--force');
    await mlfs('verify', copy);
    assert.match((await mlfs('commit', at.checkpoint)).stdout, /committed 2 bytes/);
    assert.deepEqual(await tensorOf(at.checkpoint), EDITED);
    assert.match((await mlfs('discard', at.checkpoint)).stdout, /nothing to discard/);
  });

  test(`${transport}: /sys/control answers in JSON, and a failure says why`, here, async (t) => {
    const at = await scene(t);
    await mounted(at, transport);
    await edit(at);
    const copy = join(at.folder, 'with blanks.pt');
    const { stdout } = await mlfs('commit', at.mountpoint, '--to', copy, '--json');
    assert.equal((JSON.parse(stdout) as { bytes: number }).bytes, 2);
    assert.deepEqual(await tensorOf(copy), EDITED);
    const inside = await runMlfs(['commit', at.mountpoint, '--to', join(at.mountpoint, 'model/new.pt')]);
    assert.equal(inside.code, 2);
    assert.match(inside.stderr, /lies in the mount itself/);
    await assert.rejects(writeFile(join(at.mountpoint, 'sys/control'), 'explode\n'), { code: 'EINVAL' });
    const { last_failure } = await statusOf(at);
    assert.equal(last_failure?.command, 'explode');
    assert.match(last_failure?.message ?? '', /is not a command/);
    await writeFile(join(at.mountpoint, 'sys/control'), 'discard\n');
    assert.equal((await statusOf(at)).dirty_bytes, 0);
  });

  for (const end of ['umount', 'umount(8)', 'SIGTERM'] as const) {
    test(`${transport}: a mount that writes back commits at its end: ${end}`, here, async (t) => {
      const at = await scene(t);
      const child = await foreground(at, transport, '--write-back');
      const closed = once(child, 'close');
      await edit(at);
      if (end === 'umount') await mlfs('umount', at.mountpoint);
      else if (end === 'SIGTERM') child.kill('SIGTERM');
      else await detach(at);
      assert.deepEqual(await closed, [0, null]);
      assert.deepEqual(await tensorOf(at.checkpoint), EDITED);
      assert.equal(existsSync(stateOf(at)), false);
    });
  }

  test(`${transport}: umount of a busy mount says what became of the edits`, here, async (t) => {
    for (const flags of [[], ['--write-back']]) {
      const at = await scene(t);
      await mounted(at, transport, ...flags);
      await edit(at);
      const held = await open(weightOf(at));
      const busy = await runMlfs(['umount', at.mountpoint]);
      await held.close();
      const [committed, then] =
        flags.length > 0 ? ['; its edits were committed', ''] : ['', 'mlfs: 2 bytes of edits are kept in '];
      assert.equal(busy.code, 4);
      assert.equal(busy.stderr.split('\n')[0], `mlfs: ${at.mountpoint}: is in use${committed}`);
      assert.equal((await tensorOf(at.checkpoint)).equals(EDITED), flags.length > 0);
      assert.ok((await mlfs('umount', at.mountpoint)).stderr.startsWith(then));
    }
  });

  test(`${transport}: fsync of control commits when the mount writes back`, here, async (t) => {
    const at = await scene(t);
    await mounted(at, transport, '--unsafe-write');
    await edit(at);
    const control = await open(join(at.mountpoint, 'sys/control'), 'r+');
    await control.sync();
    await control.close();
    assert.deepEqual(await tensorOf(at.checkpoint), EDITED);
    assert.equal((await statusOf(at)).dirty_bytes, 0);
  });

  test(`${transport}: what cannot be written back is kept, and said`, here, async (t) => {
    const at = await scene(t);
    const child = await foreground(at, transport, '--write-back');
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk;
    });
    const closed = once(child, 'close');
    await edit(at);
    await utimes(at.checkpoint, 1, 1);
    const refused = await runMlfs(['umount', at.mountpoint]);
    assert.equal(refused.code, 4, refused.stderr);
    assert.equal((await mountsOn(at.mountpoint)).length, 1, 'the mount stays');
    child.kill('SIGTERM');
    assert.deepEqual(await closed, [4, null]);
    assert.match(said, /2 bytes of edits were not written back and are kept in .*model\.pt\.mlfs/);
    assert.equal(existsSync(stateOf(at)), true);
  });

  test(`${transport}: a file renamed over a followed checkpoint is the mount's content`, here, async (t) => {
    const at = await scene(t);
    await mounted(at, transport, '--follow');
    const held = await open(weightOf(at));
    const { ino } = await stat(weightOf(at));
    await replace(at);
    await eventually('the new file shows', async () => (await readFile(weightOf(at))).equals(OTHER));
    assert.notEqual((await stat(weightOf(at))).ino, ino);
    // A path is all that the other transport has of an open file.
    if (transport === 'kernel') {
      const { buffer } = await held.read(Buffer.alloc(24), 0, 24, 0);
      assert.deepEqual(buffer, WEIGHT, 'who had it open reads on');
    }
    await held.close();
    await edit(at);
    await mlfs('commit', at.mountpoint);
    assert.deepEqual(await tensorOf(at.checkpoint), Buffer.concat([ONE, OTHER.subarray(4)]));
    const status = await statusOf(at);
    assert.deepEqual([status.state, status.reloads_total], ['current', 1]);
  });

  test(
    `${transport}: a followed checkpoint that is rewritten in place is shown when it is whole`,
    here,
    async (t) => {
      const at = await scene(t);
      await mounted(at, transport, '--follow');
      const path = join(at.folder, 'other.pt');
      await replace({ ...at, checkpoint: path });
      const bytes = await readFile(path);
      await writeFile(at.checkpoint, bytes.subarray(0, bytes.length - 30));
      const log = () => readFile(join(at.mountpoint, 'logs/fuse.log'), 'utf8');
      await eventually('the half file is refused', async () => /cannot be shown/.test(await log()));
      await writeFile(at.checkpoint, bytes);
      await eventually('the whole file shows', async () => (await readFile(weightOf(at))).equals(OTHER));
    },
  );

  test(`${transport}: reload shows a new file, unless edits would have nowhere to go`, here, async (t) => {
    const at = await scene(t);
    await mounted(at, transport);
    assert.match((await mlfs('reload', at.mountpoint)).stdout, /shown already/);
    await edit(at);
    await replace(at);
    await eventually('the mount is stale', async () => (await statusOf(at)).state === 'stale');
    await assert.rejects(edit(at, WEIGHT), { errno: -constants.errno.ESTALE });
    const dirty = await runMlfs(['reload', at.mountpoint]);
    assert.equal(dirty.code, 4);
    assert.match(
      dirty.stderr,
      /2 bytes of edits in 1 range .*\n {2}try: mlfs commit .* --to .* mlfs discard/,
    );
    assert.equal((await runMlfs(['commit', at.mountpoint])).code, 4, 'stale');
    assert.deepEqual(await readFile(weightOf(at)), EDITED);
    const copy = join(at.folder, 'kept.pt');
    await mlfs('commit', at.mountpoint, '--to', copy);
    assert.deepEqual(await tensorOf(copy), EDITED);
    await mlfs('discard', at.mountpoint);
    assert.match((await mlfs('reload', at.mountpoint)).stdout, /shows the new file/);
    assert.deepEqual(await readFile(weightOf(at)), OTHER);
    await edit(at);
    await mlfs('commit', at.mountpoint);
    assert.deepEqual(await tensorOf(at.checkpoint), Buffer.concat([ONE, OTHER.subarray(4)]));
  });

  test(`${transport}: Ctrl-C keeps the edits in the journal`, here, async (t) => {
    const at = await scene(t);
    const child = await foreground(at, transport);
    const closed = once(child, 'close');
    await edit(at);
    child.kill('SIGINT');
    assert.deepEqual(await closed, [0, null]);
    assert.deepEqual(await tensorOf(at.checkpoint), WEIGHT);
    assert.match((await mlfs('status', at.checkpoint)).stdout, /2 bytes in 1 range/);
  });
}

test(
  'edits of another file are not applied: exit code 5, and discard drops them',
  requires('fuse'),
  async (t) => {
    const at = await scene(t);
    await mounted(at, 'auto');
    await edit(at);
    await unmounted(at);
    await replace(at);
    const refused = await runMlfs(['mount', at.checkpoint, at.mountpoint]);
    assert.equal(refused.code, 5, refused.stderr);
    assert.match(refused.stderr, /has changed since 2 bytes of edits/);
    assert.match((await mlfs('status', at.checkpoint)).stdout, /not the file that was opened/);
    assert.equal((await runMlfs(['commit', at.checkpoint])).code, 5);
    assert.match((await mlfs('discard', at.checkpoint)).stdout, /dropped 2 bytes/);
    await mounted(at, 'auto');
    assert.deepEqual(await readFile(weightOf(at)), OTHER);
  },
);

test(
  'edits are kept where --state says, and take no more of the disk than --journal-limit',
  requires('fuse'),
  async (t) => {
    const at = await scene(t, [
      { name: 'fc.weight', dtype: 'float32', shape: [2, 3], fill: WEIGHT },
      { name: 'big', dtype: 'uint8', shape: [1 << 20], fill: 'sparse-zeros' },
    ]);
    const state = join(at.folder, 'kept/elsewhere');
    await mounted(at, 'auto', '--state', state, '--journal-limit', '64k');
    const { bsize, bavail } = await statfs(join(at.mountpoint, 'model'));
    assert.equal(bsize * bavail, 64 * 1024, 'what df says is free');
    await edit(at);
    assert.equal(existsSync(state), true);
    assert.equal(existsSync(stateOf(at)), false);
    const big = await open(join(at.mountpoint, 'model/big.bin'), 'r+');
    await assert.rejects(
      big.write(Buffer.alloc(1 << 20, 1), 0, 1 << 20, 0).then(() => big.sync()),
      { code: 'ENOSPC' },
    );
    await big.close();
    assert.deepEqual(await readFile(weightOf(at)), EDITED, 'what was written before is there');
    assert.equal((await statusOf(at)).journal?.limit_bytes, 64 * 1024);
    await unmounted(at);
    assert.match((await mlfs('status', at.checkpoint)).stdout, /^edits +none$/m);
    assert.match((await mlfs('commit', '--state', state, at.checkpoint)).stdout, /committed/);
    assert.deepEqual(await tensorOf(at.checkpoint), EDITED);
  },
);

test('a target that is neither a mount nor a file is said to be so', async (t) => {
  const at = await scene(t);
  for (const command of ['status', 'commit', 'discard', 'flush', 'reload']) {
    const folder = await runMlfs([command, at.folder]);
    assert.equal(folder.code, 1, command);
    assert.match(folder.stderr, /is not a mount of mlfs/, command);
  }
  const missing = await runMlfs(['commit', join(at.folder, 'none.pt')]);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /none\.pt: /);
});
