import assert from 'node:assert/strict';
import { link, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { sharedFileWarning } from '../../../src/targets/shared-file.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

test("a file with one name, also behind a link, is nobody else's", async (t) => {
  const folder = await temporaryDirectory(t);
  await writeFile(join(folder, 'model.pt'), '');
  await symlink('model.pt', join(folder, 'latest.pt'));
  assert.equal(await sharedFileWarning(join(folder, 'model.pt')), undefined);
  assert.equal(await sharedFileWarning(join(folder, 'latest.pt')), undefined);
  assert.equal(await sharedFileWarning(join(folder, 'gone.pt')), undefined);
});

test('other hard links are counted, with what to do', async (t) => {
  const folder = await temporaryDirectory(t);
  await writeFile(join(folder, 'model.pt'), '');
  await link(join(folder, 'model.pt'), join(folder, 'snapshot.pt'));
  const warning = await sharedFileWarning(join(folder, 'model.pt'));
  assert.match(warning ?? '', /has 2 names \(hard links\).*--to NEW/);
});

test("a blob of the hub's cache is named by its contents", async (t) => {
  const folder = await temporaryDirectory(t);
  await mkdir(join(folder, 'blobs'));
  await mkdir(join(folder, 'snapshots'));
  const blob = join(folder, 'blobs', '0123456789abcdef'.repeat(4));
  await writeFile(blob, '');
  await symlink(blob, join(folder, 'snapshots', 'model.safetensors'));
  for (const path of [blob, join(folder, 'snapshots', 'model.safetensors')]) {
    assert.match((await sharedFileWarning(path)) ?? '', /named after the hash of its contents.*--to NEW/);
  }
});
