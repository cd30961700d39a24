import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import type { Attr, AttrChange } from '../../../src/fuse/filesystem.ts';
import {
  type Caller,
  mayRemove,
  permits,
  R_OK,
  refusalOfChange,
  W_OK,
  X_OK,
} from '../../../src/fuse/permission.ts';
import { requires } from '../../support/requires.ts';

const OWNER = 1000;
const GROUP = 2000;
/** No process has it. */
const NOBODY_PID = 2 ** 22 + 1;

function file(mode: number, more: Partial<Attr> = {}): Attr {
  return { nodeid: 2, kind: 'file', mode, nlink: 1, uid: OWNER, gid: GROUP, size: 0, mtimeMs: 0, ...more };
}

function caller(uid: number, gid: number, pid: number = NOBODY_PID): Caller {
  return { uid, gid, pid };
}

const owner = caller(OWNER, 1);
const member = caller(3, GROUP);
const other = caller(4, 4);
const root = caller(0, 0);

/** A process that waits, with these supplementary groups. */
async function waiting(t: TestContext, groups: string): Promise<number> {
  const args = ['--reuid=5', '--regid=5', `--groups=${groups}`, 'sh', '-c', 'echo ready; read line'];
  const child = spawn('setpriv', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => void child.stdin.end());
  await once(child.stdout, 'data');
  return child.pid as number;
}

test('owner, group and others have their own bits, and the first that fits decides', () => {
  assert.deepEqual(
    [owner, member, other].map((who) => permits(file(0o640), R_OK, who)),
    [true, true, false],
  );
  assert.equal(permits(file(0o077), R_OK, owner), false);
  assert.equal(permits(file(0o707), R_OK, member), false);
  assert.equal(permits(file(0o604), R_OK | W_OK, other), false);
});

test('root may everything but run what nobody may run', () => {
  assert.equal(permits(file(0), R_OK | W_OK, root), true);
  assert.equal(permits(file(0o666), X_OK, root), false);
  assert.equal(permits(file(0o010), X_OK, root), true);
  assert.equal(permits(file(0, { kind: 'directory' }), X_OK, root), true);
});

test('supplementary groups count', requires('root', 'setpriv'), async (t) => {
  const pid = await waiting(t, `77,${GROUP}`);
  assert.equal(permits(file(0o640), R_OK, caller(5, 5, pid)), true);
  assert.equal(permits(file(0o604), R_OK, caller(5, 5, pid)), false);
  assert.equal(permits(file(0o640, { gid: 78 }), R_OK, caller(5, 5, pid)), false);
  const mine = file(0o644, { uid: 5, gid: 5 });
  assert.equal(refusalOfChange(mine, { gid: GROUP }, caller(5, 5, pid)), undefined);
  assert.equal(refusalOfChange(mine, { gid: 78 }, caller(5, 5, pid)), 'EPERM');
});

const REFUSALS: readonly [name: string, change: AttrChange, expected: Record<string, string | undefined>][] =
  [
    ['mode', { mode: 0o600 }, { owner: undefined, member: 'EPERM', root: undefined }],
    ['another owner', { uid: 9 }, { owner: 'EPERM', member: 'EPERM', root: undefined }],
    ['the same owner', { uid: OWNER }, { owner: undefined, member: 'EPERM', root: undefined }],
    ['a group of his', { gid: 1 }, { owner: undefined, member: 'EPERM', root: undefined }],
    ['the same group', { gid: GROUP }, { owner: undefined, member: 'EPERM', root: undefined }],
    ['the group root', { gid: 0 }, { owner: 'EPERM', member: 'EPERM', root: undefined }],
    ['nothing', {}, { owner: undefined, member: undefined, root: undefined }],
    [
      'both times to now',
      { atime: 'now', mtime: 'now' },
      { owner: undefined, member: undefined, other: 'EACCES' },
    ],
    ['one time to now', { mtime: 'now' }, { owner: undefined, member: 'EPERM', other: 'EPERM' }],
    ['a time', { atime: 5n, mtime: 5n }, { owner: undefined, member: 'EPERM', root: undefined }],
  ];

for (const [name, change, expected] of REFUSALS) {
  test(`who may change: ${name}`, () => {
    const callers = { owner, member, other, root };
    for (const [who, refusal] of Object.entries(expected)) {
      assert.equal(refusalOfChange(file(0o664), change, callers[who as 'owner']), refusal, who);
    }
  });
}

test('in a sticky folder everybody removes his own, and its owner and root everything', () => {
  const folder = file(0o1777, { kind: 'directory', uid: 50 });
  const answers = [owner, other, caller(50, 4), root].map((who) => mayRemove(folder, file(0o666), who));
  assert.deepEqual(answers, [true, false, true, true]);
  assert.equal(mayRemove({ ...folder, mode: 0o777 }, file(0o666), other), true);
});
