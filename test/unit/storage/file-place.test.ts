/** Whatever takes the place of a folder above an open file is not believed, though the file's own path leads to the same inode. */
import assert from 'node:assert/strict';
import { link, mkdir, rename, stat, symlink, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { FilePlace } from '../../../src/storage/file-place.ts';
import type { MediumFile } from '../../../src/storage/medium.ts';
import { OwnFolder } from '../../../src/storage/own-folder.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const SEGMENT = 'above/parent/own/journal/000001.log';

async function opened(t: TestContext) {
  const base = await temporaryDirectory(t);
  const at = (...names: string[]) => join(base, ...names);
  await mkdir(at('above'));
  const own = new OwnFolder(at('above/parent/own'), { ownParent: true });
  t.after(() => own.close());
  await own.makeDirectory(at('above/parent/own/journal'));
  const file = await own.open(at(SEGMENT), 'create');
  t.after(() => file.close());
  return { at, file };
}

const inPlace = (file: MediumFile) => file.isInPlace?.();

/** Moves what is at a path away and lets `replace` put something there; when that is gone, what was there comes back. */
async function swapped(
  path: string,
  replace: (moved: string) => Promise<void>,
  check: () => Promise<void>,
): Promise<void> {
  const moved = `${path}.moved`;
  await rename(path, moved);
  await replace(moved);
  await check();
  await rename(path, `${path}.swap`);
  await rename(moved, path);
}

for (const folder of ['above/parent', 'above/parent/own', 'above/parent/own/journal']) {
  test(`a link in the place of ${folder}, to where it was moved`, async (t) => {
    const { at, file } = await opened(t);
    const { ino } = await stat(at(SEGMENT));
    assert.equal(await inPlace(file), true);
    await swapped(
      at(folder),
      (moved) => symlink(moved, at(folder)),
      async () => {
        assert.equal((await stat(at(SEGMENT))).ino, ino, 'the path still leads to the file');
        assert.equal(await inPlace(file), false);
      },
    );
    assert.equal(await inPlace(file), true, 'put back');
  });

  test(`another folder in the place of ${folder}, with a hard link of the file in it`, async (t) => {
    const { at, file } = await opened(t);
    const { ino } = await stat(at(SEGMENT));
    const below = SEGMENT.slice(folder.length + 1);
    await swapped(
      at(folder),
      async (moved) => {
        await mkdir(dirname(at(SEGMENT)), { recursive: true });
        await link(join(moved, below), at(SEGMENT));
      },
      async () => {
        assert.equal((await stat(at(SEGMENT))).ino, ino, 'the path still leads to the file');
        assert.equal(await inPlace(file), false);
      },
    );
    assert.equal(await inPlace(file), true, 'put back');
  });
}

test('another file in its place, and none', async (t) => {
  const { at, file } = await opened(t);
  await link(at(SEGMENT), at('other'));
  await unlink(at(SEGMENT));
  assert.equal(await inPlace(file), false);
  await link(at('other'), at(SEGMENT));
  assert.equal(await inPlace(file), true);
});

test('a folder far above that was moved is missed; a link to it leads to the same place for everybody', async (t) => {
  const { at, file } = await opened(t);
  await rename(at('above'), at('moved'));
  assert.equal(await inPlace(file), false);
  await symlink(at('moved'), at('above'));
  assert.equal(await inPlace(file), true);
});

test('it says the same where nothing is known of the file system, and looks in another thread', async (t) => {
  const path = join(await temporaryDirectory(t), 'folder');
  await mkdir(path);
  const { dev, ino } = await stat(path);
  const place = new FilePlace([{ path, dev, ino }], false);
  const looking = place.isInPlace();
  assert.ok(looking instanceof Promise);
  assert.equal(await looking, true);
  await rename(path, join(dirname(path), `${basename(path)}.moved`));
  assert.equal(await place.isInPlace(), false);
});
