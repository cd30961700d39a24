/** npm run bench:documents -- bench/results/RUN.json: writes the tables of README.md and docs/PERFORMANCE.md from the results of a run. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { withFigures } from './report/document-tables.ts';
import type { RunReport } from './report/run-report.ts';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const DOCUMENTS = ['README.md', 'docs/PERFORMANCE.md'];

const [result] = process.argv.slice(2);
if (result === undefined) {
  process.stderr.write('usage: npm run bench:documents -- bench/results/RUN.json\n');
  process.exit(2);
}
const report = JSON.parse(await readFile(result, 'utf8')) as RunReport;
const resultPath = path.relative(PROJECT, path.resolve(result));
for (const name of DOCUMENTS) {
  const file = path.join(PROJECT, name);
  const before = await readFile(file, 'utf8');
  const after = withFigures(before, report, resultPath, name.includes('/') ? '../' : '');
  if (after === before) continue;
  await writeFile(file, after);
  process.stdout.write(`${name}\n`);
}
