/** The twelve uses: each is listed, has a script, a README of a screenful and a test; and no link of the READMEs is dead. */
import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { access, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('../../', import.meta.url));
const SCREENFUL = 60;

test('there are twelve examples, each with a script, a README of a screenful and a test', async () => {
  const names = (await readdir(join(project, 'examples'))).filter((name) => /^\d\d-/.test(name)).sort();
  assert.deepEqual(
    names.map((name) => Number(name.slice(0, 2))),
    Array.from({ length: 12 }, (_, index) => index + 1),
    names.join(' '),
  );
  for (const name of names) {
    await access(join(project, 'examples', name, 'run.sh'), constants.X_OK);
    await access(join(project, 'test/examples', `${name}.test.ts`));
    const lines = (await readFile(join(project, 'examples', name, 'README.md'), 'utf8')).split('\n');
    assert.ok(lines.length <= SCREENFUL, `the README of ${name} has ${lines.length} lines`);
  }
});

for (const readme of ['README.md', 'examples/README.md']) {
  test(`${readme} lists the twelve in their order, and its links lead somewhere`, async () => {
    const text = await readFile(join(project, readme), 'utf8');
    const links = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map(([, target]) => target as string);
    for (const target of links) await access(join(project, dirname(readme), target));
    const listed = links
      .flatMap((target) => /(?:^|examples\/)(\d\d)-[^/]+$/.exec(target)?.[1] ?? [])
      .map(Number);
    assert.deepEqual(
      listed,
      Array.from({ length: 12 }, (_, index) => index + 1),
    );
  });
}
