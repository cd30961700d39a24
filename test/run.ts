/**
 * Runs the tests: every test file in a process of its own, two at a time, all in one folder for temporary files. Arguments choose
 * files by a part of their path. A skipped test is named with its reason, and on CI it is a failure, as is a mount that outlives
 * the run. The last line is `N passed, N failed`, with `, N skipped` when there are any.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { fileURLToPath } from 'node:url';
import { releaseMountsBelow } from './support/leaked-mounts.ts';
import { Report } from './support/report.ts';

/** A file that takes longer hangs. */
const FILE_TIMEOUT_MS = 10 * 60_000;
const FILES_AT_ONCE = 2;

const testFolder = fileURLToPath(new URL('.', import.meta.url));
const project = fileURLToPath(new URL('..', import.meta.url));

async function testFiles(filters: readonly string[]): Promise<string[]> {
  const names = await readdir(testFolder, { recursive: true });
  return names
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(testFolder, name))
    .filter((path) => filters.length === 0 || filters.some((part) => relative(project, path).includes(part)))
    .sort();
}

const filters = process.argv.slice(2);
const files = await testFiles(filters);
if (files.length === 0) {
  process.stderr.write(`no test file matches ${filters.join(' ')}\n`);
  process.exit(1);
}

const folder = await mkdtemp(join(tmpdir(), 'mlfs-run-'));
process.env.TMPDIR = folder;
const report = new Report(project, (text) => process.stdout.write(text));
for await (const event of run({ files, concurrency: FILES_AT_ONCE, timeout: FILE_TIMEOUT_MS })) {
  report.take(event);
}
for (const mountpoint of await releaseMountsBelow(folder)) {
  report.fail('a test left a mount behind', `${mountpoint} was unmounted`);
}
await rm(folder, { recursive: true, force: true });

const strict = process.env.CI === 'true';
report.close(strict);
process.exitCode = report.failed > 0 || (strict && report.skipped > 0) ? 1 : 0;
