import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { kernelTransport } from '../../../../src/fuse/transport/kernel.ts';
import { mountable } from '../../../support/served.ts';
import { temporaryDirectory } from '../../../support/tmp.ts';
import { writableTree } from '../writable-tree.ts';

test('a mount that fails before it is served leaves no mount behind', mountable('kernel'), async (t) => {
  const mountpoint = await temporaryDirectory(t);
  const { filesystem } = writableTree({ notify: false });
  filesystem.publishIn = () => {
    throw new Error('does not fit');
  };
  const mounted = kernelTransport.mount(filesystem, {
    mountpoint,
    fsname: 'test',
    readOnly: false,
    allowOther: false,
    defaultPermissions: false,
    onWarning: () => undefined,
  });
  await assert.rejects(mounted, /does not fit/);
  assert.equal((await readFile('/proc/self/mountinfo', 'utf8')).includes(mountpoint), false);
});
