/** The figures in the documents are those of a run whose results are in the repository. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { shownResults, withFigures } from '../../../bench/report/document-tables.ts';
import type { RunReport } from '../../../bench/report/run-report.ts';
import type { Row } from '../../../bench/schedule.ts';
import { summarize } from '../../../bench/statistics.ts';

const PROJECT = fileURLToPath(new URL('../../../', import.meta.url));
const RESULT = 'bench/results/run.json';

for (const [name, toProject] of [
  ['README.md', ''],
  ['docs/PERFORMANCE.md', '../'],
] as const) {
  test(`the tables of ${name} are what \`npm run bench:documents\` makes of the run that it names`, () => {
    const document = readFileSync(join(PROJECT, name), 'utf8');
    const [result, ...others] = shownResults(document);
    assert.ok(result !== undefined && others.length === 0, `${name} shows one run`);
    const report = JSON.parse(readFileSync(join(PROJECT, result), 'utf8')) as RunReport;
    assert.equal(withFigures(document, report, result, toProject), document);
  });
}

function row(driver: string, workload: string, key: string, value: number, better: 'higher' | 'lower'): Row {
  return {
    driver,
    workload,
    metric: { key, title: key, unit: better === 'higher' ? 'GB/s' : 's', better },
    summary: summarize([value]),
  };
}

function shown(rows: readonly Row[]): string[] {
  const report: RunReport = {
    version: '9.9.9',
    startedAt: '2030-01-02T03:04:05.000Z',
    command: 'npm run bench',
    rounds: 3,
    tensorBytes: 2 ** 31,
    machine: {
      kernel: 'Linux 7.0.1 x64',
      processors: '2 × Test',
      memoryGib: 8,
      node: 'v22.1.0',
      fuseMaxPages: 256,
      loadAverage: [0],
    },
    rows,
    verdicts: [],
  };
  const marked = `<!-- figures: summary of ${RESULT} -->\nold\n<!-- /figures -->`;
  return withFigures(marked, report, RESULT, '').split('\n');
}

test('a table has the best C program, the ratio to no mount, and only columns and lines with figures', () => {
  const lines = shown([
    row('native', 'sequential', 'first', 10, 'higher'),
    row('c-loop plain', 'sequential', 'first', 3, 'higher'),
    row('c-loop tuned', 'sequential', 'first', 4, 'higher'),
    row('mlfs view', 'sequential', 'first', 6.666, 'higher'),
    {
      driver: 'mlfs kernel',
      workload: 'sequential',
      metric: row('', '', 'first', 1, 'higher').metric,
      reason: 'failed',
    },
  ]);
  assert.deepEqual(lines, [
    `<!-- figures: summary of ${RESULT} -->`,
    'Version 9.9.9, 2030-01-02, a tensor of 2 GiB, 2 × Test with 8 GiB, Linux 7.0, Node 22: `npm run bench`.',
    '',
    '| what | MLFS, read-only | best C program | no mount |',
    '| --- | --- | --- | --- |',
    '| first read, file in the page cache | 6.67 GB/s (0.67 ×) | 4 GB/s (0.40 ×) | 10 GB/s |',
    '<!-- /figures -->',
  ]);
});

test('where less is better, the fastest C program is the one with the least time', () => {
  const lines = shown([
    row('c-loop tree', 'walk', 'find', 2, 'lower'),
    row('c-loop other', 'walk', 'find', 3, 'lower'),
    row('mlfs kernel', 'walk', 'find', 4, 'lower'),
  ]);
  assert.ok(lines.includes('| 20,000 tensors: first `find` | 4 s | 2 s |'), lines.join('\n'));
});
