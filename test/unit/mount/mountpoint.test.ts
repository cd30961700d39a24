import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { prepareMountpoint, resolveMountpoint } from '../../../src/mount/mountpoint.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

/** `d\xe9`, `plain`, which leads to it, and a directory whose name is what Node makes of `d\xe9`. */
async function twins(folder: string) {
  const raw = Buffer.concat([Buffer.from(`${folder}/d`), Buffer.of(0xe9)]);
  await mkdir(Buffer.concat([raw, Buffer.from('/mp')]), { recursive: true });
  await mkdir(join(folder, 'd\uFFFD/mp'), { recursive: true });
  await symlink(raw, join(folder, 'plain'));
  return raw;
}

test('a link to a directory that is not UTF-8 is refused, and not taken for the directory of another name', async (t) => {
  const folder = await temporaryDirectory(t);
  await twins(folder);
  for (const path of ['plain', 'plain/mp', 'plain/none']) {
    await assert.rejects(resolveMountpoint(join(folder, path)), {
      code: 'ERR_MLFS_USAGE',
      message: /plain.*: leads to a path that is not UTF-8/,
      advice: /directory whose path is UTF-8/,
    });
  }
  assert.equal(await resolveMountpoint(join(folder, 'd\uFFFD/mp')), join(folder, 'd\uFFFD/mp'));
});

test('a checkpoint in a directory that is not UTF-8 does not lie in the directory of another name', async (t) => {
  const folder = await temporaryDirectory(t);
  await twins(folder);
  const options = {
    checkpointPath: join(folder, 'plain/mp'),
    nonEmpty: true,
    onNotice: () => undefined,
    detach: async () => undefined,
  };
  assert.equal(await prepareMountpoint(join(folder, 'd\uFFFD'), options), join(folder, 'd\uFFFD'));
  await assert.rejects(prepareMountpoint(folder, options), { message: /holds the checkpoint/ });
});
