import assert from 'node:assert/strict';
import promises, { appendFile, rename, truncate, unlink, utimes, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BaseState, BaseWatch } from '../../../src/mount/base-watch.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

async function watched(t: TestContext) {
  const path = join(await temporaryDirectory(t), 'model.pt');
  await writeFile(path, 'twelve bytes');
  const sources = [await FileSource.open(path)];
  const source = sources[0] as FileSource;
  const heard: BaseState[] = [];
  const looks = { stale: 0 };
  const watch = new BaseWatch(path, {
    opened: () => (sources.at(-1) as FileSource).fingerprint,
    writing: () => commit.underWay,
    onChange: (state) => heard.push(state),
    onStale: () => looks.stale++,
  });
  const commit = { underWay: false };
  t.after(async () => {
    watch.stop();
    for (const opened of sources) await opened.close();
  });
  /** As a reload does it. */
  const reopen = async () => void sources.push(await FileSource.open(path));
  return { path, source, watch, heard, looks, commit, reopen };
}

const CHANGES: readonly [reason: string, change: (path: string) => Promise<void>][] = [
  ['truncated', (path) => truncate(path, 3)],
  ['changed', (path) => appendFile(path, 'more')],
  ['changed', (path) => utimes(path, 1, 1)],
  ['gone', (path) => unlink(path)],
  [
    'replaced',
    async (path) => {
      await writeFile(`${path}.new`, 'twelve bytes');
      await rename(`${path}.new`, path);
    },
  ],
];

for (const [index, [reason, change]] of CHANGES.entries()) {
  test(`a base file is stale when it is ${reason} (${index + 1})`, async (t) => {
    const { path, watch, heard } = await watched(t);
    assert.deepEqual(await watch.state(), { stale: false });
    await change(path);
    assert.deepEqual(await watch.state(), { stale: true, reason });
    await watch.state();
    assert.deepEqual(heard, [{ stale: true, reason }], 'a change is told once');
  });
}

test('a base file that comes back is current again, and that is told too', async (t) => {
  const { path, watch, heard } = await watched(t);
  await rename(path, `${path}.away`);
  await watch.state();
  await rename(`${path}.away`, path);
  assert.deepEqual(await watch.state(), { stale: false });
  assert.deepEqual(
    heard.map(({ stale }) => stale),
    [true, false],
  );
});

test('what a commit of ours does to the file is not somebody else changing it', async (t) => {
  const { path, source, watch, heard, commit } = await watched(t);
  commit.underWay = true;
  await writeFile(path, 'other bytes!');
  await utimes(path, 1, 1);
  assert.deepEqual(await watch.state(), { stale: false });
  await source.refresh();
  commit.underWay = false;
  assert.deepEqual(await watch.state(), { stale: false });
  assert.deepEqual(heard, []);
});

test('a change is noticed without anybody asking', async (t) => {
  const { path, watch, looks } = await watched(t);
  await writeFile(`${path}.new`, 'twelve bytes');
  await rename(`${path}.new`, path);
  while (!watch.stale) await sleep(10);
  assert.ok(looks.stale > 0);
});

test('when another file was opened, its changes are told though the same was told of the one before', async (t) => {
  const { path, watch, heard, reopen } = await watched(t);
  const replace = async () => {
    await writeFile(`${path}.new`, 'twelve bytes');
    await rename(`${path}.new`, path);
  };
  await replace();
  await watch.state();
  await reopen();
  // No look between: the file that was opened is not the one with the name any more.
  await replace();
  await watch.state();
  await watch.state();
  assert.deepEqual(heard, [
    { stale: true, reason: 'replaced' },
    { stale: true, reason: 'replaced' },
  ]);
  await reopen();
  assert.deepEqual(await watch.state(), { stale: false });
  assert.deepEqual(heard.at(-1), { stale: false });
});

test('a look that ends after a later one does not undo what that one saw', async (t) => {
  const { path, watch, heard } = await watched(t);
  const { stat } = promises;
  let letGo = () => {};
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  t.after(() => {
    promises.stat = stat;
    syncBuiltinESMExports();
  });
  let seen = () => {};
  const looked = new Promise<void>((resolve) => {
    seen = resolve;
  });
  promises.stat = (async (...given: Parameters<typeof stat>) => {
    const found = await stat(...given);
    seen();
    await held;
    return found;
  }) as typeof stat;
  syncBuiltinESMExports();
  const early = watch.state();
  await looked;
  promises.stat = stat;
  syncBuiltinESMExports();
  await utimes(path, 1, 1);
  assert.deepEqual(await watch.state(), { stale: true, reason: 'changed' });
  letGo();
  assert.deepEqual(await early, { stale: false });
  assert.deepEqual(heard, [{ stale: true, reason: 'changed' }]);
});
