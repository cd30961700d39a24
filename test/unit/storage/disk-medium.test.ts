import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { diskMedium } from '../../../src/storage/disk-medium.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

test('what is written is read, at any offset, in any number of pieces', async (t) => {
  const path = join(await temporaryDirectory(t), 'file');
  const file = await diskMedium.open(path, 'create');
  t.after(() => file.close());
  const pieces = Array.from({ length: 3000 }, (_, index) => Buffer.from(`<${index}>`));
  pieces.splice(1500, 0, Buffer.alloc(0));
  await file.write(10, pieces);
  const expected = Buffer.concat(pieces);
  assert.ok((await file.read(10, expected.byteLength)).equals(expected));
  assert.equal(await file.size(), 10 + expected.byteLength);
  assert.deepEqual(await file.read(0, 10), Buffer.alloc(10));
  await file.write(2 ** 33, [Buffer.from('far')]);
  assert.equal((await file.read(2 ** 33, 3)).toString(), 'far');
  await file.truncate(12);
  await file.sync();
  assert.equal((await readFile(path)).byteLength, 12);
  await file.write(0, []);
});

test('files are made with mode 0600, folders with 0700', async (t) => {
  const directory = join(await temporaryDirectory(t), 'a', 'b', 'c');
  await diskMedium.makeDirectory(directory);
  await diskMedium.makeDirectory(directory);
  await (await diskMedium.open(join(directory, 'file'), 'create')).close();
  assert.equal((await stat(directory)).mode & 0o777, 0o700);
  assert.equal((await stat(join(directory, 'file'))).mode & 0o777, 0o600);
  await diskMedium.syncDirectory(directory);
});

test('names are listed sorted, renamed and removed; a folder only when it is empty', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = (name: string) => join(directory, name);
  for (const name of ['c', 'a', 'b']) await (await diskMedium.open(path(name), 'create')).close();
  assert.deepEqual(await diskMedium.list(directory), ['a', 'b', 'c']);
  await diskMedium.rename(path('a'), path('c'));
  await diskMedium.remove(path('b'));
  await diskMedium.makeDirectory(path('folder/inner'));
  assert.deepEqual(await diskMedium.list(directory), ['c', 'folder']);
  await assert.rejects(diskMedium.remove(path('folder')), { errno: 'ENOTEMPTY' });
  await diskMedium.remove(path('folder/inner'));
  await diskMedium.remove(path('folder'));
  assert.deepEqual(await diskMedium.list(directory), ['c']);
  assert.deepEqual(await diskMedium.list(path('none')), []);
});

test('failures are told with their code and errno', async (t) => {
  const directory = await temporaryDirectory(t);
  const path = join(directory, 'file');
  const notFound = { code: 'ERR_MLFS_NOT_FOUND', errno: 'ENOENT', path };
  await assert.rejects(diskMedium.open(path, 'read'), notFound);
  await assert.rejects(diskMedium.open(path, 'write'), notFound);
  await assert.rejects(diskMedium.remove(path), notFound);
  await assert.rejects(diskMedium.rename(path, `${path}2`), notFound);
  await assert.rejects(diskMedium.syncDirectory(path), notFound);
  await writeFile(path, 'bytes');
  await assert.rejects(diskMedium.open(path, 'create'), { code: 'ERR_MLFS_IO', errno: 'EEXIST' });
  const file = await diskMedium.open(path, 'read');
  t.after(() => file.close());
  await assert.rejects(file.read(3, 3), {
    code: 'ERR_MLFS_TRUNCATED',
    message: /bytes 3 to 6 .* ends at byte 5/,
  });
  await assert.rejects(file.write(0, [Buffer.from('x')]), { code: 'ERR_MLFS_IO', errno: 'EIO' });
  for (const offset of [-1, 0.5, 2 ** 53])
    await assert.rejects(file.read(offset, 1), { code: 'ERR_MLFS_IO' });
  await assert.rejects(diskMedium.list(path), { code: 'ERR_MLFS_NOT_FOUND' });
});

test('a disk without room is ENOSPC', async (t) => {
  const file = await diskMedium.open('/dev/full', 'write');
  t.after(() => file.close());
  await assert.rejects(file.write(0, [Buffer.from('x')]), { errno: 'ENOSPC', advice: /Make room/ });
});

test('closing waits for the calls under way, and later ones fail', async (t) => {
  const file = await diskMedium.open(join(await temporaryDirectory(t), 'file'), 'create');
  await file.write(0, [Buffer.alloc(1_000_000, 7)]);
  const reads = Array.from({ length: 30 }, () => file.read(0, 1_000_000));
  const syncing = file.sync();
  const closing = file.close();
  await assert.rejects(file.read(0, 1), { code: 'ERR_MLFS_IO', message: /the file was closed/ });
  await syncing;
  for (const bytes of await Promise.all(reads)) assert.equal(bytes[999_999], 7);
  await closing;
  await file.close();
});
