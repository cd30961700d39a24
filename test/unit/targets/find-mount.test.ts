import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseMountTable } from '../../../src/storage/mount-table.ts';
import { pathUpTo } from '../../../src/targets/find-mount.ts';
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

test('a link over a folder that is not UTF-8 leads on to a mount point', async (t) => {
  const folder = await temporaryDirectory(t);
  const raw = Buffer.concat([Buffer.from(`${folder}/d`), Buffer.of(0xe9)]);
  await mkdir(raw);
  await mkdir(join(folder, 'mount'));
  await symlink('../mount', Buffer.concat([raw, Buffer.from('/back')]));
  await symlink(Buffer.from([0x64, 0xe9]), join(folder, 'plain'));
  const mounts = new Set([join(folder, 'mount'), join(folder, 'd\uFFFD')]);
  assert.equal(await pathUpTo(join(folder, 'plain/back/model'), mounts), join(folder, 'mount/model'));
  assert.equal(await pathUpTo(join(folder, 'plain/x'), mounts), join(folder, 'd\uDCE9/x'));
});

test('a circle of links ends', async (t) => {
  const folder = await temporaryDirectory(t);
  await symlink('b', join(folder, 'a'));
  await symlink('a', join(folder, 'b'));
  assert.match(await pathUpTo(join(folder, 'a'), new Set()), /\/[ab]$/);
});

test('a FUSE mount says which user made it, and answers in the name of that user alone', () => {
  const [own, other, disk] = parseMountTable(
    [
      '36 35 0:32 / /mnt/m rw,nosuid - fuse.mlfs /a\\040b.pt rw,user_id=1000,group_id=1000,allow_other',
      '37 35 0:33 / /mnt/n rw,nosuid - fuse.mlfs /c.pt ro,user_id=0,group_id=0',
      '38 35 0:34 / /mnt/o rw - ext4 /dev/vda rw',
    ].join('\n'),
  );
  assert.deepEqual([own?.userId, other?.userId, disk?.userId], [1000, 0, undefined]);
  assert.equal(own?.source, '/a b.pt');
});
