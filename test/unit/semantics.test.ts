/** docs/SEMANTICS.md names the test that holds each promise. This holds that those tests are there. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as cases from '../conformance/cases.ts';
import * as writeCases from '../conformance/write-cases.ts';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));

interface Promised {
  readonly line: number;
  readonly heldBy: string;
}

/** The last cell of every row of the tables that have a column `held by`. */
function promises(): Promised[] {
  const found: Promised[] = [];
  let holding = false;
  const lines = readFileSync(`${PROJECT}docs/SEMANTICS.md`, 'utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    const cells = line.split('|').map((cell) => cell.trim());
    const last = cells.at(-2) ?? '';
    if (cells.length < 4) holding = false;
    else if (last === 'held by') holding = true;
    else if (holding && !/^-+$/.test(last)) found.push({ line: index + 1, heldBy: last });
  }
  return found;
}

test('every promise of docs/SEMANTICS.md names a test', () => {
  const all = promises();
  assert.ok(all.length > 20, `${all.length} promises found`);
  const bare = all.filter(({ heldBy }) => !/`[^`]+`|\*[^*]+\*/.test(heldBy));
  assert.deepEqual(bare, []);
});

test('every test file that docs/SEMANTICS.md names is there', () => {
  const missing = promises().flatMap(({ line, heldBy }) =>
    [...heldBy.matchAll(/`([^`]+)`/g)]
      .map(([, name = '']) => name)
      .filter((name) => !name.startsWith('npm run '))
      .filter(
        (name) => !existsSync(`${PROJECT}test/${name}.test.ts`) && !existsSync(`${PROJECT}test/${name}`),
      )
      .map((name) => `line ${line}: ${name}`),
  );
  assert.deepEqual(missing, []);
});

test('every conformance case that docs/SEMANTICS.md names is there', () => {
  const titles = Object.values({ ...cases, ...writeCases }).flatMap((group) => Object.keys(group));
  const missing = promises().flatMap(({ line, heldBy }) =>
    [...heldBy.matchAll(/\*([^*]+)\*/g)]
      .map(([, name = '']) => name.replace(/…$/, ''))
      .filter((name) => !titles.some((title) => title.startsWith(name)))
      .map((name) => `line ${line}: ${name}`),
  );
  assert.deepEqual(missing, []);
});
