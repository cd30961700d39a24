import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSize } from '../../../src/cli/mount.ts';
import { parseDashO } from '../../../src/cli/mount-options.ts';
import { MlfsError } from '../../../src/errors.ts';

test('-o takes what sshfs users know, in one list or several', () => {
  assert.deepEqual(parseDashO(['ro,allow_other', 'default_permissions,fsname=a\\,b', 'nonempty']), {
    readOnly: true,
    allowOther: true,
    defaultPermissions: true,
    fsname: 'a,b',
    nonEmpty: true,
  });
});

test('-o ignores the words of mount(8) and fstab', () => {
  assert.deepEqual(parseDashO(['defaults,nosuid,nodev,noatime,auto,_netdev,x-systemd.automount', '']), {});
});

test('of ro and rw the last counts', () => {
  assert.deepEqual(parseDashO(['ro,rw']), { readOnly: false });
  assert.deepEqual(parseDashO(['rw', 'ro']), { readOnly: true });
});

test('-o names the option it does not know', () => {
  for (const [given, named] of [
    ['ro,reconnect', 'reconnect'],
    ['uid=1000', 'uid=1000'],
    ['ro=1', 'ro=1'],
    ['fsname=', 'fsname='],
    ['rw=1', 'rw=1'],
  ] as const) {
    assert.throws(
      () => parseDashO([given]),
      (error: unknown) =>
        error instanceof MlfsError && error.exitCode === 2 && error.message.startsWith(`-o ${named}:`),
    );
  }
});

test('a size is a number with a unit of 1,024', () => {
  assert.equal(parseSize('4096'), 4096);
  assert.equal(parseSize('64M'), 64 * 1024 ** 2);
  assert.equal(parseSize('1.5GiB'), 1.5 * 1024 ** 3);
  assert.throws(() => parseSize('many'));
  assert.throws(() => parseSize('1x'));
});
