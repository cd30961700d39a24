import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import type { ThroughputReport } from '../../src/throughput/throughput-report.ts';
import { requires } from '../support/requires.ts';
import { runMlfs } from '../support/run-mlfs.ts';
import { Server } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const ROWS = [
  'sequential, cold',
  'random 4 KiB, cold',
  'sequential, cached',
  'sequential, read again',
  'random 4 KiB, cached',
];

async function checkpointIn(directory: string, rows: number): Promise<string> {
  const path = join(directory, 'model.pt');
  const fill = randomBytes(rows * 4096);
  await writeTorchZip(path, { tensors: [{ name: 'weight', dtype: 'float32', shape: [rows, 1024], fill }] });
  return path;
}

/** Runs with a temporary directory of its own, so that what is left behind is seen. */
async function bench(t: TestContext, checkpoint: string, ...options: string[]) {
  const scratch = await temporaryDirectory(t);
  const ended = await runMlfs(['bench', checkpoint, '--seconds', '0.2', ...options], { TMPDIR: scratch });
  assert.deepEqual(
    (await readdir(scratch)).filter((name) => name.startsWith('mlfs-bench-')),
    [],
    'no mount point is left',
  );
  assert.ok(!(await readFile('/proc/self/mounts', 'utf8')).includes(scratch), 'nothing stays mounted');
  return ended;
}

test(
  'mlfs bench reads the same tensors natively and through both kinds of mounts, and says who serves them',
  requires('fuse', 'addon'),
  async (t) => {
    const checkpoint = await checkpointIn(await temporaryDirectory(t), 256);
    const { code, stdout, stderr } = await bench(t, checkpoint, '--json');
    assert.equal(code, 0, stderr);
    const report = JSON.parse(stdout.toString()) as ThroughputReport;
    assert.equal(report.bytes, 256 * 4096);
    const [readOnly, writable] = report.mounts.map(({ servedBy }) => servedBy);
    assert.ok(readOnly?.server === 'kernel view' || readOnly?.server === 'data plane');
    assert.deepEqual(writable, { server: 'data plane' });
    assert.deepEqual(
      report.rows.map((row) => row.what),
      ROWS,
    );
    for (const { what, measured, reason } of report.rows) {
      if (what.endsWith('cold')) assert.ok(measured !== undefined || reason !== undefined, what);
      else assert.ok(measured && measured.native.bytes > 0, what);
      for (const { bytes, ratio } of measured?.mounts ?? []) assert.ok(bytes > 0 && ratio > 0, what);
      if (measured) {
        assert.deepEqual(
          measured.mounts.map(({ mode }) => mode),
          ['read-only', 'writable'],
        );
      }
    }
  },
);

test(
  'mlfs bench says when cold reads could not be measured, and measures the rest',
  requires('fuse', 'addon'),
  async (t) => {
    const memory = await mkdtemp('/dev/shm/mlfs-test-');
    t.after(() => rm(memory, { recursive: true }));
    const { code, stdout, stderr } = await bench(t, await checkpointIn(memory, 256));
    assert.equal(code, 0, stderr);
    const text = stdout.toString();
    assert.match(text, /sequential, cold: not measured, no disk was read/);
    assert.match(text, /random 4 KiB, cached +[\d,]+\/s +[\d,]+\/s +[\d.]+ +[\d,]+\/s +[\d.]+/);
    assert.match(text, /^writable mount: served by the data plane$/m);
  },
);

test(
  'mlfs bench measures a checkpoint that is mounted writable read-only, and says why not otherwise',
  requires('fuse', 'addon'),
  async (t) => {
    const folder = await temporaryDirectory(t);
    const checkpoint = await checkpointIn(folder, 256);
    const server = await Server.start();
    t.after(() => server.stop());
    await server.mount(checkpoint, { transport: 'kernel' });
    const { code, stdout, stderr } = await bench(t, checkpoint, '--json');
    assert.equal(code, 0, stderr);
    const { mounts, rows } = JSON.parse(stdout.toString()) as ThroughputReport;
    const [readOnly, writable] = mounts;
    assert.ok(readOnly?.servedBy !== undefined);
    assert.equal(writable?.servedBy, undefined);
    assert.match(writable?.reason ?? '', /could not be mounted/);
    const measured = rows.flatMap((row) => row.measured?.mounts.map(({ mode }) => mode) ?? []);
    assert.ok(measured.length >= 3 && measured.every((mode) => mode === 'read-only'), measured.join());
  },
);

test(
  'mlfs bench through the package fuse-native says so',
  requires('fuse', 'addon', 'fuse-native'),
  async (t) => {
    const checkpoint = await checkpointIn(await temporaryDirectory(t), 256);
    const { code, stdout, stderr } = await bench(t, checkpoint, '--transport', 'fuse-native');
    assert.equal(code, 0, stderr);
    assert.match(stdout.toString(), /^read-only mount: served by fuse-native$/m);
  },
);

test('mlfs bench refuses a file that is no checkpoint as every command does', requires('fuse'), async (t) => {
  const { code, stderr } = await bench(t, '/etc/passwd');
  assert.equal(code, 3);
  assert.match(stderr, /\/etc\/passwd/);
});
