/**
 * A state directory beside root's checkpoint that another user made, or can change. The folder is one where everybody may make files. Whatever lies in
 * the directory, and whatever command root runs: nothing of root's is read, written, cut, renamed or removed, nothing is made elsewhere, and no
 * command waits for a pipe.
 */
import assert from 'node:assert/strict';
import { chmod, chown, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { mountsOn } from '../support/cli-scene.ts';
import { requires } from '../support/requires.ts';
import { type Outcome, output, run } from '../support/run.ts';
import { runAsSecondUser, SECOND_USER, sharedDirectory } from '../support/second-user.ts';
import { treeSnapshot } from '../support/tree-snapshot.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** No command waits for what the other user does. */
const HANGS_AFTER_MS = 60_000;

interface Stage {
  /** Of the other user as far as he likes: checkpoint, state directory. */
  readonly share: string;
  readonly checkpoint: string;
  readonly state: string;
  /** Of root alone. */
  readonly victim: string;
  readonly mountpoint: string;
  /** Where root's own state directories go. */
  readonly xdg: string;
}

async function stage(t: TestContext): Promise<Stage> {
  // Hooks run in this order: first unmount, then remove.
  let mountpoint = '';
  t.after(async () => {
    for (const _ of await mountsOn(mountpoint)) await run('umount', ['-l', mountpoint]);
  });
  const folder = await sharedDirectory(t);
  mountpoint = join(folder, 'mount');
  const share = join(folder, 'share');
  const victim = join(folder, 'victim');
  const xdg = join(folder, 'xdg');
  for (const path of [mountpoint, share, victim, xdg]) await mkdir(path, { mode: 0o700 });
  await chmod(share, 0o1777);
  const checkpoint = join(share, 'model.pt');
  await writeTorchZip(checkpoint, {
    tensors: [{ name: 'fc.weight', dtype: 'float32', shape: [2, 3], fill: Buffer.alloc(24, 7) }],
  });
  await chmod(checkpoint, 0o644);
  for (const name of ['secret', 'empty', '000001.log', '000002.log', 'draft.log.new', '000003.log.new']) {
    await writeFile(join(victim, name), name === 'empty' ? '' : `root's ${name}`, { mode: 0o600 });
  }
  return { share, checkpoint, state: `${checkpoint}.mlfs`, victim, mountpoint, xdg };
}

function mlfs(at: Stage, ...args: string[]): Promise<Outcome> {
  return run(process.execPath, [MAIN, ...args], {
    env: { ...process.env, XDG_STATE_HOME: at.xdg },
    timeoutMs: HANGS_AFTER_MS,
  });
}

/** $S is the state directory, $V root's folder. */
async function asOther(at: Stage, script: string): Promise<void> {
  const { code, stderr } = await runAsSecondUser('sh', ['-euc', script], {
    env: { PATH: process.env.PATH, S: at.state, V: at.victim },
  });
  assert.equal(code, 0, stderr);
}

interface Plant {
  readonly what: string;
  readonly plant: (at: Stage) => Promise<void>;
  /** Why it is not used. */
  readonly reason: RegExp;
  /** It may hold edits, so that nothing is edited before root has said where. */
  readonly refused: boolean;
}

const FOREIGN = new RegExp(`belongs to user ${SECOND_USER.uid}`);
const byOther = (what: string, script: string, refused: boolean): Plant => ({
  what,
  plant: (at) => asOther(at, script),
  reason: FOREIGN,
  refused,
});

const PLANTS: readonly Plant[] = [
  byOther('a lock that is a link', 'mkdir $S; ln -s $V/secret $S/lock; touch $S/x', false),
  byOther('a lock that names process 1', `mkdir $S; echo '{"pid":1,"startTime":"0"}' > $S/lock`, false),
  byOther('a lock that is a pipe', 'mkdir $S; mkfifo $S/lock', false),
  byOther('a base.json that is a link', 'mkdir $S; ln -s $V/secret $S/base.json', true),
  byOther('a base.json that is a pipe', 'mkdir $S; mkfifo $S/base.json', true),
  byOther('a journal that is a link', 'mkdir $S; ln -s $V $S/journal', true),
  byOther('a segment that is a pipe', 'mkdir -p $S/journal; mkfifo $S/journal/000001.log', true),
  byOther('gradients that are a link', 'mkdir $S; ln -s $V $S/grads', false),
  byOther('a gradient that is a link', 'mkdir -p $S/grads; ln -s $V/secret $S/grads/fc.weight', false),
  byOther('activations that are a link', 'mkdir $S; ln -s $V $S/activations', false),
  byOther('a directory that cannot be listed by its group', 'mkdir -m 700 $S; touch $S/base.json', true),
  {
    what: 'a file',
    plant: (at) => asOther(at, 'echo x > $S'),
    reason: /is not a directory/,
    refused: false,
  },
  {
    what: 'a link',
    plant: (at) => asOther(at, 'ln -s $V $S'),
    reason: /is a symbolic link/,
    refused: false,
  },
  {
    what: "a link of root's own",
    plant: (at) => symlink(at.victim, at.state),
    reason: /is a symbolic link/,
    refused: true,
  },
  {
    what: "a directory of root's that the other user's group can write to",
    plant: async (at) => {
      await mkdir(at.state);
      await chown(at.state, 0, SECOND_USER.gid);
      await chmod(at.state, 0o770);
      await asOther(at, 'ln -s $V/secret $S/lock; ln -s $V $S/journal');
    },
    reason: /can be written by its group/,
    refused: true,
  },
  {
    what: "a directory of root's that everybody can write to",
    plant: async (at) => {
      await mkdir(at.state);
      await chmod(at.state, 0o1777);
      await asOther(at, 'ln -s $V/secret $S/lock; mkdir $S/grads');
    },
    reason: /can be written by every user/,
    refused: false,
  },
];

for (const { what, plant, reason, refused } of PLANTS) {
  test(
    `the state directory is planted with ${what}: every command leaves it and root's files alone`,
    requires('root', 'fuse'),
    async (t) => {
      const at = await stage(t);
      await plant(at);
      const before = [await treeSnapshot(at.victim), await treeSnapshot(at.share)];
      const unchanged = async (command: string) => {
        assert.deepEqual(await treeSnapshot(at.victim), before[0], `after ${command}`);
        assert.deepEqual(await treeSnapshot(at.share), before[1], `after ${command}`);
      };

      const { checkpoint, mountpoint } = at;
      await Promise.all(
        [['info'], ['ls'], ['verify'], ['diff', checkpoint]].map(async ([command = '', ...others]) => {
          const { code, stderr } = await mlfs(at, command, checkpoint, ...others);
          assert.equal(code, 0, `${command}: ${stderr}`);
        }),
      );
      await unchanged('info, ls, verify, diff');
      for (const command of ['status', 'flush', 'commit', 'discard']) {
        const { code, stderr } = await mlfs(at, command, checkpoint);
        assert.equal(code, refused ? 1 : 0, `${command}: ${stderr}`);
        if (refused) assert.match(stderr, reason);
        await unchanged(command);
        assert.deepEqual(await readdir(at.xdg), [], `${command} makes nothing`);
      }

      const readOnly = await mlfs(at, 'mount', '--read-only', checkpoint, mountpoint);
      assert.equal(readOnly.code, 0, readOnly.stderr);
      assert.equal((await mlfs(at, 'umount', mountpoint)).code, 0);
      await unchanged('mount --read-only');

      const mounted = await mlfs(at, 'mount', checkpoint, mountpoint);
      assert.match(mounted.stderr, reason);
      await unchanged('mount');
      if (refused) {
        assert.equal(mounted.code, 1);
        assert.match(mounted.stderr, /--state DIR/);
        return;
      }
      assert.equal(mounted.code, 0, mounted.stderr);
      assert.ok(mounted.stderr.includes(`edits are kept in ${at.xdg}/mlfs/`), mounted.stderr);
      await output('sh', [
        '-ec',
        'cd "$0"; printf x | dd of=model/fc/weight.bin conv=notrunc status=none; echo g > model/fc/weight.grad; mkdir activations/d; echo a > activations/f',
        mountpoint,
      ]);
      await unchanged('edits');
      assert.equal((await mlfs(at, 'umount', mountpoint)).code, 0);
      await unchanged('umount');
      assert.equal((await readdir(join(at.xdg, 'mlfs'))).length, 1);
    },
  );
}

test(
  'a state directory of another user that is named with --state is refused, and so is one in his folder mlfs',
  requires('root', 'fuse'),
  async (t) => {
    const at = await stage(t);
    await asOther(at, 'mkdir $S; ln -s $V/secret $S/lock; mkdir $S/mlfs');
    const before = [await treeSnapshot(at.victim), await treeSnapshot(at.share)];
    for (const args of [
      ['mount', '--state', at.state, at.checkpoint, at.mountpoint],
      ['commit', '--state', at.state, at.checkpoint],
      ['status', '--state', at.state, at.checkpoint],
    ]) {
      const { code, stderr } = await mlfs(at, ...args);
      assert.equal(code, 1, stderr);
      assert.match(stderr, FOREIGN);
    }
    // The user's own XDG directory is a folder of somebody else's, too.
    const { code, stderr } = await mlfs({ ...at, xdg: at.state }, 'mount', at.checkpoint, at.mountpoint);
    assert.equal(code, 1, stderr);
    assert.match(stderr, FOREIGN);
    assert.deepEqual([await treeSnapshot(at.victim), await treeSnapshot(at.share)], before);
  },
);

test(
  "links, pipes and other people's files in a state directory of root's own are refused",
  requires('root', 'fuse'),
  async (t) => {
    for (const [script, reason] of [
      ['ln -s $V/secret $S/lock', /lock: is a symbolic link/],
      ['mkfifo $S/lock', /lock: is not a regular file/],
      ['mkfifo $S/base.json $S/lock', /is not a regular file/],
      ['mkdir $S/lock', /lock: is not a regular file/],
      ['ln -s $V $S/journal', /journal: is a symbolic link/],
      ['mkdir $S/grads; mkfifo $S/grads/fc.weight', /fc\.weight: is not a regular file/],
      ['mkdir $S/grads; ln -s $V/secret $S/grads/fc.weight', /fc\.weight: is a symbolic link/],
      ['mkdir -m 777 $S/grads; touch $S/grads/x', /grads: can be written by every user/],
      [`echo > $S/lock; chown ${SECOND_USER.uid} $S/lock`, FOREIGN],
      ['echo > $S/lock; chmod 666 $S/lock', /lock: can be written by every user/],
      ['mkdir $S/journal; echo wal > $S/journal/000001.log', /000001\.log: is not a segment/],
    ] as const) {
      const at = await stage(t);
      await mkdir(at.state, { mode: 0o700 });
      await output('sh', ['-euc', script], {
        env: { PATH: process.env.PATH, S: at.state, V: at.victim },
      });
      const before = await treeSnapshot(at.victim);
      const { code, stderr } = await mlfs(at, 'mount', at.checkpoint, at.mountpoint);
      assert.notEqual(code, 0, script);
      assert.match(stderr, reason, script);
      assert.deepEqual(await treeSnapshot(at.victim), before, script);
    }
  },
);

test(
  'a state directory that is swapped for a link while it is mounted is not followed',
  requires('root', 'fuse'),
  async (t) => {
    const at = await stage(t);
    // The folder belongs to the other user: the directory in it is root's, but its name is his to move.
    await chown(at.share, SECOND_USER.uid, SECOND_USER.gid);
    assert.equal((await mlfs(at, 'mount', at.checkpoint, at.mountpoint)).code, 0);
    // Through dd, which says when a write fails; a shell that closes its output does not.
    const write = (path: string, bytes: string) =>
      run('dd', [`of=${join(at.mountpoint, path)}`, 'conv=notrunc', 'status=none'], {
        input: bytes,
        timeoutMs: HANGS_AFTER_MS,
      });
    assert.equal((await write('model/fc/weight.bin', '1')).code, 0);
    await asOther(at, 'mv $S $S.moved; ln -s $V $S');
    const before = await treeSnapshot(at.victim);
    for (const path of ['model/fc/weight.bin', 'model/fc/weight.grad', 'activations/f', 'model/scratch']) {
      const { code } = await write(path, '2');
      if (path.startsWith('model/fc')) assert.equal(code, 1, `${path} is not acknowledged`);
    }
    assert.deepEqual(await treeSnapshot(at.victim), before);
    const lazily = await mlfs(at, 'umount', '--lazy', at.mountpoint);
    assert.match(lazily.stderr, /not kept/);
    assert.deepEqual(await treeSnapshot(at.victim), before);
  },
);
