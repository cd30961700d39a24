/** What the documents name is there: targets of links, headings behind `#`, and source files. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const FOLDERS = ['.ci', 'bench', 'docs', 'examples', 'native', 'setup', 'src', 'test'];
const files = [
  ...readdirSync(PROJECT).filter((name) => name.endsWith('.md')),
  ...FOLDERS.flatMap((folder) =>
    readdirSync(join(PROJECT, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
      join(folder, name),
    ),
  ),
];
const documents = files.filter((file) => file.endsWith('.md') && !file.startsWith('bench/results/'));

/** The anchors that GitHub makes of the headings of a document. */
function anchors(text: string): ReadonlySet<string> {
  const headings = [...text.matchAll(/^#+ +(.*)$/gm)].map(([, heading = '']) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

function deadLinks(document: string): string[] {
  const text = readFileSync(join(PROJECT, document), 'utf8');
  const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return targets
    .filter((target) => !/^\w+:/.test(target))
    .filter((target) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? document : join(dirname(document), path);
      if (!existsSync(join(PROJECT, file))) return true;
      return anchor !== undefined && !anchors(readFileSync(join(PROJECT, file), 'utf8')).has(anchor);
    })
    .map((target) => `${document}: ${target}`);
}

test('every link of the documents leads to a file, and to a heading of it', () => {
  assert.ok(documents.length > 20, documents.join(' '));
  assert.deepEqual(documents.flatMap(deadLinks), []);
});

for (const document of ['docs/ARCHITECTURE.md', 'CONTRIBUTING.md']) {
  test(`every source file that ${document} names is there`, () => {
    const text = readFileSync(join(PROJECT, document), 'utf8');
    const named = [...text.matchAll(/`([\w./-]+\.(?:ts|mjs|py|cc|h))`/g)].map(([, name = '']) => name);
    assert.ok(named.length > 5, `${named.length} files are named`);
    const missing = named.filter((name) => !files.some((file) => file === name || file.endsWith(`/${name}`)));
    assert.deepEqual(missing, []);
  });
}
