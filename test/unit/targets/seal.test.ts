import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { compareSeals, formatSeal, parseSeal, type SealedTensor } from '../../../src/targets/seal.ts';
import { requires } from '../../support/requires.ts';
import { output } from '../../support/run.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const hash = (digit: string) => digit.repeat(64);
const SEALED: SealedTensor[] = [
  { path: 'model/fc/weight.bin', sha256: hash('a') },
  { path: 'model/odd \\ name\nof\rit.bin', sha256: hash('b') },
];

test('a seal reads back, odd names included', () => {
  assert.deepEqual(parseSeal(formatSeal(SEALED), 'seal'), SEALED);
  assert.match(formatSeal(SEALED), /^\\b{64} {2}model\/odd \\\\ name\\nof\\rit\.bin$/m);
});

test(
  'sha256sum writes what is read here, and reads what is written here',
  requires('sha256sum'),
  async (t) => {
    const folder = await temporaryDirectory(t);
    const odd = 'odd \\ name\nof it.bin';
    await writeFile(join(folder, odd), 'bytes');
    const written = await output('bash', ['-c', 'cd "$1" && sha256sum -- *', 'bash', folder]);
    const parsed = parseSeal(written, 'seal');
    assert.deepEqual(
      parsed.map(({ path }) => path),
      [odd],
    );
    assert.equal(formatSeal(parsed), written);
  },
);

test('a line that is none of a seal is named by its number', () => {
  const good = `${hash('a')}  one.bin\n`;
  for (const [text, message] of [
    [`${good}nonsense\n`, /my\.seal: line 2: is not a hash and a path/],
    [`${good}${hash('g')}  two.bin\n`, /line 2/],
    [`${good}${good}`, /line 2: names one\.bin a second time/],
  ] as const) {
    assert.throws(() => parseSeal(text, 'my.seal'), { code: 'ERR_MLFS_FORMAT', message });
  }
});

test('what changed, what is missing and what is new are told apart', () => {
  const seal = (paths: Record<string, string>) =>
    Object.entries(paths).map(([path, digit]) => ({ path, sha256: hash(digit) }));
  assert.deepEqual(compareSeals(seal({ a: '1', b: '2', c: '3' }), seal({ a: '1', b: '9', d: '4' })), {
    changed: ['b'],
    missing: ['c'],
    added: ['d'],
    intact: 1,
  });
});
