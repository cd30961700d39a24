/** `npm run bench` over a model of a few MiB: every writing workload runs on every driver. Nothing is said about how fast. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RunReport } from '../../bench/report/run-report.ts';
import { requires } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const RUN = fileURLToPath(new URL('../../bench/run.ts', import.meta.url));
const NEEDS = requires('fuse', 'addon', 'fuse-native', 'cc');
const TIMEOUT_MS = 5 * 60_000;
/** A record's header of 40 bytes, and a segment's of 24 before the first. */
const EDIT_OVERHEAD = 64;

/** Runs a workload with a temporary directory of its own and returns a figure of it by driver and key. */
async function bench(t: TestContext, workload: string) {
  const scratch = await temporaryDirectory(t);
  const out = await temporaryDirectory(t);
  const scale = ['--quick', '--size', '8', '--rounds', '1'];
  const args = ['--import', import.meta.resolve('tsx'), RUN, ...scale, '--only', workload, '--out', out];
  await output(process.execPath, args, { env: { ...process.env, TMPDIR: scratch }, timeoutMs: TIMEOUT_MS });
  assert.deepEqual(
    (await readdir(scratch)).filter((name) => name.startsWith('mlfs-bench-')),
    [],
    'neither checkpoints nor mount points are left',
  );
  assert.ok(!(await readFile('/proc/self/mounts', 'utf8')).includes(scratch), 'nothing stays mounted');
  const json = (await readdir(out)).find((name) => name.endsWith('.json'));
  const { rows } = JSON.parse(await readFile(join(out, json ?? ''), 'utf8')) as RunReport;
  for (const { driver, metric, summary, reason } of rows) {
    assert.ok(summary || reason === 'does not apply', `${driver}, ${metric.title}: ${reason}`);
  }
  return (driver: string, key: string): number => {
    const row = rows.find((candidate) => candidate.driver === driver && candidate.metric.key === key);
    return row?.summary?.median ?? Number.NaN;
  };
}

test('the bench counts what edits cost in the journal', NEEDS, async (t) => {
  const figure = await bench(t, 'edit');
  for (const key of ['pageFirst', 'pageLater', 'acrossFirst', 'acrossLater', 'floatFirst', 'floatLater']) {
    const overhead = figure('mlfs kernel', key);
    assert.ok(overhead > 0 && overhead <= EDIT_OVERHEAD, `${key}: ${overhead}`);
  }
});

test('the bench writes a tensor over, again, and under its other names', NEEDS, async (t) => {
  const figure = await bench(t, 'write');
  for (const driver of ['mlfs kernel', 'mlfs fuse-native']) {
    assert.equal(figure(driver, 'againJournal'), 0, driver);
    assert.ok(figure(driver, 'tied') > 0 && figure(driver, 'viewed') > 0, driver);
  }
  assert.ok(figure('native', 'end') > 0);
});

test('the bench writes 4 KiB at random', NEEDS, async (t) => {
  const figure = await bench(t, 'write-random');
  for (const driver of ['native', 'mlfs kernel', 'mlfs fuse-native']) {
    assert.ok(figure(driver, 'often') > 0, driver);
  }
});

test('the bench reads dirty tensors, which the kernel transport does in native code', NEEDS, async (t) => {
  const figure = await bench(t, 'read-dirty');
  assert.ok(figure('mlfs kernel', 'someNative') >= 1, 'one block in a hundred dirty');
  assert.ok(figure('mlfs kernel', 'wholeNative') >= 1, 'all of it dirty');
});

test('the bench commits, and the bytes that are written follow from the edits', NEEDS, async (t) => {
  const figure = await bench(t, 'commit');
  for (const driver of ['mlfs kernel', 'mlfs fuse-native']) {
    for (const key of ['written', 'writtenTenfold']) {
      const written = figure(driver, key);
      assert.ok(written >= 1 && written < 1.5, `${driver}, ${key}: ${written}`);
    }
  }
});

test('the bench takes a training step by rsync, and only what changed is journalled', {
  ...NEEDS,
  ...requires('rsync'),
}, async (t) => {
  const figure = await bench(t, 'rsync');
  for (const driver of ['mlfs kernel', 'mlfs fuse-native']) {
    const journalled = figure(driver, 'journal');
    assert.ok(journalled >= 0.99 && journalled <= 1.1, `${driver}: ${journalled}`);
  }
});

test('the bench watches the memory of a server that is written through', NEEDS, async (t) => {
  const figure = await bench(t, 'write-memory');
  assert.ok(figure('mlfs kernel', 'peak') >= figure('mlfs kernel', 'rest'));
});
