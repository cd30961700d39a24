import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { OwnFolder } from '../../../src/storage/own-folder.ts';
import { output } from '../../support/run.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

async function folder(t: TestContext) {
  const parent = await temporaryDirectory(t);
  const path = join(parent, 'own');
  const own = new OwnFolder(path);
  t.after(() => own.close());
  return { parent, path, own };
}

const refused = (message: RegExp) => ({ code: 'ERR_MLFS_ACCESS', message });

test('looking at a folder that is not there makes nothing', async (t) => {
  const { parent, path, own } = await folder(t);
  assert.deepEqual(await own.list(path), []);
  assert.deepEqual(await own.list(join(path, 'journal')), []);
  await assert.rejects(own.open(join(path, 'lock'), 'read'), { code: 'ERR_MLFS_NOT_FOUND' });
  assert.deepEqual(await readdir(parent), []);
});

test('folders are made with mode 0700 and files with 0600, whatever the umask leaves to others', async (t) => {
  const { path, own } = await folder(t);
  await own.makeDirectory(join(path, 'a', 'b'));
  await (await own.open(join(path, 'a', 'b', 'file'), 'create')).close();
  for (const [name, mode] of [
    ['', 0o700],
    ['a', 0o700],
    ['a/b', 0o700],
    ['a/b/file', 0o600],
  ] as const) {
    assert.equal((await stat(join(path, name))).mode & 0o777, mode, name);
  }
  await assert.rejects(own.open(join(path, 'a/b/file'), 'create'), { errno: 'EEXIST' });
});

test('names are listed, renamed and removed, the folder itself when it is empty', async (t) => {
  const { parent, path, own } = await folder(t);
  await own.makeDirectory(join(path, 'sub'));
  const file = await own.open(join(path, 'one'), 'create');
  await file.write(0, [Buffer.from('bytes')]);
  await own.rename(join(path, 'one'), join(path, 'sub', 'two'));
  assert.equal(await file.isInPlace?.(), false);
  await file.close();
  assert.deepEqual(await own.list(join(path, 'sub')), ['two']);
  await own.syncDirectory(join(path, 'sub'));
  await own.syncDirectory(path);
  await own.syncDirectory(parent);
  await assert.rejects(own.remove(path), { errno: 'ENOTEMPTY' });
  await own.remove(join(path, 'sub', 'two'));
  await own.remove(join(path, 'sub'));
  await own.remove(path);
  assert.deepEqual(await readdir(parent), []);
  await own.makeDirectory(path);
  assert.deepEqual(await readdir(parent), ['own']);
});

test('a link is not followed, whatever it stands for', async (t) => {
  const { parent, path, own } = await folder(t);
  await mkdir(join(parent, 'victim'));
  await writeFile(join(parent, 'victim', 'file'), 'bytes');
  await own.makeDirectory(path);
  await symlink(join(parent, 'victim', 'file'), join(path, 'lock'));
  await symlink(join(parent, 'victim'), join(path, 'journal'));
  for (const how of ['read', 'write'] as const) {
    await assert.rejects(own.open(join(path, 'lock'), how), refused(/lock: is a symbolic link/));
    await assert.rejects(
      own.open(join(path, 'journal', 'file'), how),
      refused(/journal: is a symbolic link/),
    );
  }
  await assert.rejects(own.list(join(path, 'journal')), refused(/journal: is a symbolic link/));
  await assert.rejects(own.remove(join(path, 'journal', 'file')), refused(/journal: is a symbolic link/));
  await assert.rejects(own.makeDirectory(join(path, 'journal', 'x')), refused(/journal: is a symbolic link/));
  const link = new OwnFolder(join(parent, 'link'));
  await symlink(path, link.path);
  await assert.rejects(link.list(link.path), refused(/link: is a symbolic link/));
  await assert.rejects(link.makeDirectory(link.path), refused(/link: is a symbolic link/));
  assert.equal(await readFile(join(parent, 'victim', 'file'), 'utf8'), 'bytes');
});

test('what is neither a file nor a folder is refused at once', async (t) => {
  const { path, own } = await folder(t);
  await own.makeDirectory(path);
  await output('mkfifo', [join(path, 'pipe')]);
  await output('python3', [
    '-c',
    `import socket; socket.socket(socket.AF_UNIX).bind('${join(path, 'socket')}')`,
  ]);
  for (const name of ['pipe', 'socket']) {
    for (const how of ['read', 'write'] as const) {
      await assert.rejects(own.open(join(path, name), how), refused(/is not a regular file/));
    }
    await assert.rejects(own.list(join(path, name)), refused(/is not a directory/));
  }
});

test('what others may write to is refused, with what to do', async (t) => {
  const { path, own } = await folder(t);
  await own.makeDirectory(join(path, 'grads'));
  await (await own.open(join(path, 'lock'), 'create')).close();
  await chmod(join(path, 'lock'), 0o620);
  await assert.rejects(own.open(join(path, 'lock'), 'write'), {
    ...refused(/lock: can be written by its group/),
    advice: new RegExp(`chmod go-w ${join(path, 'lock')}`),
  });
  await chmod(join(path, 'grads'), 0o702);
  await assert.rejects(own.list(join(path, 'grads')), refused(/grads: can be written by every user/));
  await chmod(path, 0o777);
  await own.close();
  await assert.rejects(own.list(path), refused(/own: can be written by every user/));
});

test('it stays the folder that was opened when its path leads to another', async (t) => {
  const { parent, path, own } = await folder(t);
  await own.makeDirectory(path);
  const file = await own.open(join(path, 'first'), 'create');
  assert.equal(await file.isInPlace?.(), true);
  await rename(path, join(parent, 'moved'));
  assert.equal(await file.isInPlace?.(), false);
  await mkdir(path);
  await (await own.open(join(path, 'second'), 'create')).close();
  assert.equal(await file.isInPlace?.(), false);
  await file.close();
  assert.deepEqual(await readdir(join(parent, 'moved')), ['first', 'second']);
  assert.deepEqual(await readdir(path), []);
  await assert.rejects(own.remove(path), {
    code: 'ERR_MLFS_NOT_FOUND',
    message: /another folder has its name/,
  });
});

test('a path outside of it is a fault', async (t) => {
  const { parent, path, own } = await folder(t);
  await own.makeDirectory(path);
  for (const outside of [join(parent, 'x'), `${path}/../x`, `${path}x/y`]) {
    await assert.rejects(own.open(outside, 'read'), { code: 'ERR_MLFS_INTERNAL' });
  }
});

test('calls under way are not cut off when it is closed', async (t) => {
  const { path, own } = await folder(t);
  await own.makeDirectory(join(path, 'sub'));
  const lists = Array.from({ length: 50 }, () => own.list(join(path, 'sub')));
  await own.close();
  for (const names of await Promise.all(lists)) assert.deepEqual(names, []);
});

test('messages name the path, and not that of a descriptor', async (t) => {
  const { path, own } = await folder(t);
  await own.makeDirectory(join(path, 'full'));
  await (await own.open(join(path, 'full', 'x'), 'create')).close();
  await assert.rejects(own.remove(join(path, 'full')), (error: Error) => {
    return error.message.includes(join(path, 'full')) && !error.message.includes('/proc/');
  });
});
