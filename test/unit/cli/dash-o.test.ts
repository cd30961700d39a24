import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDashO } from '../../../src/cli/dash-o.ts';
import { parseSize } from '../../../src/cli/mount.ts';
import { MlfsError } from '../../../src/errors.ts';

test('-o takes what sshfs users know, in one list or several', () => {
  assert.deepEqual(parseDashO(['ro,allow_other', 'default_permissions,fsname=a\\,b', 'nonempty']), {
    readOnly: true,
    allowOther: true,
    defaultPermissions: true,
    fsname: 'a,b',
    nonEmpty: true,
    others: [],
  });
});

test('-o takes every option that mount(8) takes for all file systems, and nothing follows', () => {
  const words =
    'defaults,suid,dev,exec,nosuid,nodev,noexec,async,sync,atime,noatime,strictatime,lazytime,auto,noauto,user,user=me,users,owner,group,' +
    'nofail,_netdev,x-systemd.automount,x-systemd.requires=a.service,X-mount.mkdir,x-gvfs-show,comment=a,context=b,silent,nosymfollow,subtype=mlfs';
  assert.deepEqual(parseDashO([words, '']), { others: [] });
});

test('what -o does not know itself is handed on', () => {
  assert.deepEqual(parseDashO(['follow,journal_limit=2G,state=/a\\,b']).others, [
    { name: 'follow', value: undefined },
    { name: 'journal_limit', value: '2G' },
    { name: 'state', value: '/a,b' },
  ]);
});

test('of ro and rw the last counts', () => {
  assert.deepEqual(parseDashO(['ro,rw']), { readOnly: false, others: [] });
  assert.deepEqual(parseDashO(['rw', 'ro']), { readOnly: true, others: [] });
});

test('-o remount is refused with what to do', () => {
  assert.throws(
    () => parseDashO(['ro,remount']),
    (error: unknown) =>
      error instanceof MlfsError && error.exitCode === 2 && /mount it again/.test(error.advice ?? ''),
  );
});

test('a size is a number with a unit of 1,024', () => {
  assert.equal(parseSize('4096'), 4096);
  assert.equal(parseSize('64M'), 64 * 1024 ** 2);
  assert.equal(parseSize('1.5GiB'), 1.5 * 1024 ** 3);
  assert.throws(() => parseSize('many'));
  assert.throws(() => parseSize('1x'));
});
