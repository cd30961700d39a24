import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RunReport } from '../../bench/report/run-report.ts';
import type { Row } from '../../bench/schedule.ts';
import { output } from './run.ts';
import { temporaryDirectory } from './tmp.ts';

const RUN = fileURLToPath(new URL('../../bench/run.ts', import.meta.url));
const TIMEOUT_MS = 5 * 60_000;

/** What a driver may say instead of a figure: the metric is not its own, or this machine or build lacks something. */
const MAY_LACK =
  /^does not apply$|^not installed|^not here: |^this build has no|^failed: the kernel view cannot be had/;

/**
 * Runs a workload of `npm run bench` with a few MiB and in a temporary directory of its own, of which nothing may be left. Returns a figure by driver
 * and key: NaN if there is none.
 */
export async function benchOnce(
  t: TestContext,
  workload: string,
  ...options: readonly string[]
): Promise<(driver: string, key: string) => number> {
  const scratch = await temporaryDirectory(t);
  const out = await temporaryDirectory(t);
  const scale = ['--quick', '--size', '8', '--rounds', '1', ...options];
  const args = ['--import', import.meta.resolve('tsx'), RUN, ...scale, '--only', workload, '--out', out];
  await output(process.execPath, args, { env: { ...process.env, TMPDIR: scratch }, timeoutMs: TIMEOUT_MS });
  const left = (await readdir(scratch)).filter((name) => name.startsWith('mlfs-bench-'));
  assert.deepEqual(left, [], 'neither checkpoints nor mount points are left');
  assert.ok(!(await readFile('/proc/self/mounts', 'utf8')).includes(scratch), 'nothing stays mounted');
  const json = (await readdir(out)).find((name) => name.endsWith('.json'));
  const { rows } = JSON.parse(await readFile(join(out, json ?? ''), 'utf8')) as RunReport;
  for (const row of rows) assert.ok(row.summary || MAY_LACK.test(row.reason ?? ''), complaint(row));
  return (driver, key) =>
    rows.find((row) => row.driver === driver && row.metric.key === key)?.summary?.median ?? Number.NaN;
}

function complaint({ driver, metric, reason }: Row): string {
  return `${driver}, ${metric.title}: ${reason}`;
}
