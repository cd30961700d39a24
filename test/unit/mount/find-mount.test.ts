import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathUpTo } from '../../../src/mount/find-mount.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

test('links are followed up to a mount point, and nothing in it is looked at', async (t) => {
  const folder = await temporaryDirectory(t);
  const mountpoint = join(folder, 'mount');
  await mkdir(mountpoint);
  await symlink('mount', join(folder, 'relative'));
  await symlink(folder, join(folder, 'up'));
  // Would be followed if it were looked at.
  await symlink(folder, join(mountpoint, 'link'));
  const mounts = new Set([mountpoint]);
  for (const [path, expected] of [
    ['mount', 'mount'],
    ['relative', 'mount'],
    ['up/relative/model', 'mount/model'],
    ['relative/link/x', 'mount/link/x'],
    ['up/up/none/x', 'none/x'],
  ] as const) {
    assert.equal(await pathUpTo(join(folder, path), mounts), join(folder, expected), path);
  }
});

test('a circle of links ends', async (t) => {
  const folder = await temporaryDirectory(t);
  await symlink('b', join(folder, 'a'));
  await symlink('a', join(folder, 'b'));
  assert.match(await pathUpTo(join(folder, 'a'), new Set()), /\/[ab]$/);
});
