/** `commit --to` in folders that others may write to, and over what is no ordinary file. */
import assert from 'node:assert/strict';
import { readdirSync, symlinkSync, unlinkSync } from 'node:fs';
import { chmod, link, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { NewFile } from '../../src/storage/new-file.ts';
import { WritableCheckpoint } from '../../src/targets/writable-checkpoint.ts';
import { output, run } from '../support/run.ts';
import { runMlfs } from '../support/run-mlfs.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const CHANGE = Buffer.from('an edit');

interface Opened {
  readonly folder: string;
  readonly path: string;
  readonly opened: WritableCheckpoint;
  /** The file with its edit. */
  readonly expected: Buffer;
}

async function edited(t: TestContext): Promise<Opened> {
  const folder = await temporaryDirectory(t);
  const path = join(folder, 'model.pt');
  await writeTorchZip(path, {
    tensors: [{ name: 'weight', dtype: 'float32', shape: [1024, 1024], fill: Buffer.alloc(4 << 20, 1) }],
  });
  await chmod(path, 0o644);
  const opened = await WritableCheckpoint.open(path);
  t.after(() => opened.close());
  const [storage] = [...opened.checkpoint.storages.values()];
  assert.ok(storage?.bytes.kind === 'extent');
  const { offset } = storage.bytes;
  const { image } = opened.checkpoint;
  await image.update((update) => update.write(offset, CHANGE));
  const expected = await readFile(path);
  CHANGE.copy(expected, offset);
  for (const patch of opened.editing.checksums.patches()) patch.bytes.copy(expected, patch.offset);
  return { folder, path, opened, expected };
}

const leftovers = async (folder: string) =>
  (await readdir(folder)).filter((name) => name.includes('partial'));

test('the copy has a mode of 0600 until it is whole, and then that of the checkpoint without set-id bits', async (t) => {
  const { folder, path, opened, expected } = await edited(t);
  await chmod(path, 0o4755);
  const modes: number[] = [];
  const to = join(folder, 'new.pt');
  await opened.edits.commitTo(to, {
    onProgress: () => {
      // The names are looked up while the copy grows.
      void leftovers(folder)
        .then(async ([name]) => {
          if (name !== undefined) modes.push((await stat(join(folder, name))).mode & 0o7777);
        })
        .catch(() => undefined);
    },
  });
  assert.ok(
    modes.every((mode) => mode === 0o600),
    modes.join(),
  );
  assert.equal((await stat(to)).mode & 0o7777, 0o755);
  assert.deepEqual(await readFile(to), expected);
  assert.deepEqual(await leftovers(folder), []);
});

test('a link that takes the place of the growing copy leads to no other file', async (t) => {
  const { folder, opened, expected } = await edited(t);
  const victim = join(folder, 'victim');
  await writeFile(victim, 'of somebody else', { mode: 0o600 });
  const shared = join(folder, 'shared');
  await mkdir(shared);
  let swapped = false;
  const swap = (name: string) => {
    if (swapped || !name.includes('partial')) return;
    swapped = true;
    unlinkSync(join(shared, name));
    symlinkSync(victim, join(shared, name));
  };
  const committed = opened.edits.commitTo(join(shared, 'new.pt'), {
    // Before the edits are put into it, at the latest.
    onProgress: () => {
      if (!swapped) for (const name of readdirSync(shared)) swap(name);
    },
  });
  await assert.rejects(committed, /taken away/);
  assert.equal(swapped, true);
  assert.equal(await readFile(victim, 'utf8'), 'of somebody else');
  assert.equal((await stat(victim)).mode & 0o777, 0o600);
  await assert.rejects(stat(join(shared, 'new.pt')), { code: 'ENOENT' });
  await opened.edits.commitTo(join(folder, 'own.pt'));
  assert.deepEqual(await readFile(join(folder, 'own.pt')), expected);
});

test('the name of a growing copy cannot be guessed', async (t) => {
  const folder = await temporaryDirectory(t);
  const names = new Set<string>();
  for (let round = 0; round < 20; round++) {
    const file = await NewFile.begin(join(folder, `${'long'.repeat(50)}.pt`), { overwrite: false });
    const [name = ''] = await leftovers(folder);
    assert.match(name, /\.partial-[0-9a-f]{32}$/);
    assert.ok(Buffer.byteLength(name) <= 255);
    names.add(name);
    await file.abandon();
  }
  assert.equal(names.size, 20);
  assert.deepEqual(await readdir(folder), []);
});

test('a file that was made meanwhile is not replaced without --force', async (t) => {
  const folder = await temporaryDirectory(t);
  const path = join(folder, 'new.pt');
  const file = await NewFile.begin(path, { overwrite: false });
  await writeFile(path, 'made meanwhile');
  await assert.rejects(file.publish(0o644), { errno: 'EEXIST' });
  assert.equal(await readFile(path, 'utf8'), 'made meanwhile');
  assert.deepEqual(await readdir(folder), ['new.pt']);
});

test('--force replaces a regular file, and nothing that is not one', async (t) => {
  const { folder, path, opened, expected } = await edited(t);
  const there = await readFile(path);
  const refused = async (to: string, says: RegExp) => {
    for (const dryRun of [true, false]) {
      await assert.rejects(opened.edits.commitTo(to, { overwrite: true, dryRun }), says, to);
    }
  };
  const target = join(folder, 'target');
  await writeFile(target, 'as it was');
  const links = { link: target, dangling: join(folder, 'nothing'), loop: join(folder, 'loop') };
  for (const [name, to] of Object.entries(links)) {
    await symlink(to, join(folder, name));
    await refused(join(folder, name), /is a symbolic link/);
  }
  await mkdir(join(folder, 'directory'));
  await refused(join(folder, 'directory'), /is a directory/);
  await output('mkfifo', [join(folder, 'fifo')]);
  await refused(join(folder, 'fifo'), /is a FIFO/);
  if (process.geteuid?.() === 0) {
    await output('mknod', [join(folder, 'device'), 'c', '1', '3']);
    await refused(join(folder, 'device'), /is a device/);
    assert.ok((await stat(join(folder, 'device'))).isCharacterDevice());
  }
  assert.equal(await readFile(target, 'utf8'), 'as it was');
  await opened.edits.commitTo(target, { overwrite: true });
  assert.deepEqual(await readFile(target), expected);
  await link(path, join(folder, 'other-name.pt'));
  await refused(join(folder, 'other-name.pt'), /is the checkpoint itself/);
  await refused(path, /is the checkpoint itself/);
  assert.deepEqual(await readFile(path), there);
});

test('nothing is put into a state directory, by whatever name it is reached', async (t) => {
  const { folder, path, opened } = await edited(t);
  const state = `${path}.mlfs`;
  await symlink(state, join(folder, 'alias'));
  const names = await readdir(state);
  const lock = await readFile(join(state, 'lock'));
  for (const to of [
    join(state, 'lock'),
    join(state, 'base.json'),
    join(state, 'new.pt'),
    join(state, 'journal', '000001.log'),
    join(state, 'journal', 'new.pt'),
    join(folder, 'alias', 'lock'),
  ]) {
    await assert.rejects(opened.edits.commitTo(to, { overwrite: true }), /state directory/, to);
  }
  assert.deepEqual(await readdir(state), names);
  assert.deepEqual(await readFile(join(state, 'lock')), lock);
  // One that keeps gradients and no edits is one, too.
  const gradients = join(folder, 'other.pt.mlfs');
  await mkdir(join(gradients, 'grads'), { recursive: true });
  await writeFile(join(gradients, 'lock'), '');
  await writeFile(join(gradients, 'grads', 'w'), 'a gradient');
  await assert.rejects(
    opened.edits.commitTo(join(gradients, 'grads', 'w'), { overwrite: true }),
    /state directory/,
  );
  const seal = await runMlfs(['seal', path, '-o', join(state, 'lock')]);
  assert.equal(seal.code, 2, seal.stderr);
  assert.deepEqual(await readFile(join(state, 'lock')), lock);
});

test('a checkpoint that is open for writing is not replaced', async (t) => {
  const { folder, opened } = await edited(t);
  const other = join(folder, 'other.pt');
  await writeTorchZip(other, { tensors: [{ name: 'w', dtype: 'uint8', shape: [4], fill: Buffer.alloc(4) }] });
  const bytes = await readFile(other);
  const held = await WritableCheckpoint.open(other);
  await assert.rejects(opened.edits.commitTo(other, { overwrite: true }), { code: 'ERR_MLFS_BUSY' });
  assert.deepEqual(await readFile(other), bytes);
  await held.close();
  await opened.edits.commitTo(other, { overwrite: true });
  await (await openCheckpoint(other)).close();
});

test('a seal and a checkpoint that mlfs writes follow no link either', async (t) => {
  const { folder, path } = await edited(t);
  const victim = join(folder, 'victim');
  await writeFile(victim, 'of somebody else');
  const planted = join(folder, 'planted');
  await symlink(victim, planted);
  const seal = await runMlfs(['seal', path, '-o', planted]);
  assert.equal(seal.code, 2, seal.stderr);
  await assert.rejects(writeTorchZip(planted, { tensors: [] }), /is a symbolic link/);
  assert.equal(await readFile(victim, 'utf8'), 'of somebody else');
  assert.equal((await run('test', ['-L', planted])).code, 0);
});
