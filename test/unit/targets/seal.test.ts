import assert from 'node:assert/strict';
import { createHash, randomFillSync } from 'node:crypto';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image } from '../../../src/storage/image.ts';
import { compareSeals, formatSeal, parseSeal, type SealedTensor, seal } from '../../../src/targets/seal.ts';
import type { TargetTensor } from '../../../src/targets/tensor-target.ts';
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

/** Two large tensors, which are hashed in threads, and one that is no run of the file. */
async function largeTensors(t: Parameters<typeof temporaryDirectory>[0]) {
  const path = join(await temporaryDirectory(t), 'model.bin');
  const bytes = randomFillSync(Buffer.alloc(40 * 2 ** 20));
  await writeFile(path, bytes);
  const base = await FileSource.open(path);
  t.after(() => base.close());
  const image = new Image(base);
  const half = bytes.length / 2;
  const tensors = [0, half].map((offset): TargetTensor => {
    const content = {
      kind: 'extents',
      size: half,
      extents: [{ kind: 'image', image, offset, length: half }],
    } as const;
    return { path: `model/${offset}.bin`, dtype: 'uint8', shape: [half], content };
  });
  const content = { kind: 'rendered', size: 3, read: async () => Buffer.from('abc') } as const;
  tensors.splice(1, 0, { path: 'model/abc.bin', dtype: 'uint8', shape: [3], content });
  return { path, tensors, parts: [bytes.subarray(0, half), Buffer.from('abc'), bytes.subarray(half)] };
}

test('tensors that are hashed in threads and others have the same seal as ever', async (t) => {
  const { tensors, parts } = await largeTensors(t);
  const progress: number[] = [];
  const sealed = await seal({ tensors }, ({ done }) => progress.push(done));
  assert.deepEqual(
    sealed,
    tensors.map(({ path }, index) => ({
      path,
      sha256: createHash('sha256')
        .update(parts[index] as Buffer)
        .digest('hex'),
    })),
  );
  assert.equal(progress.at(-1), 40 * 2 ** 20 + 3);
});

test('a file that was truncated before it was sealed is an error that names the tensor', async (t) => {
  const { path, tensors } = await largeTensors(t);
  await truncate(path, 30 * 2 ** 20);
  await assert.rejects(seal({ tensors }), {
    code: 'ERR_MLFS_TRUNCATED',
    message: /^model\/20971520\.bin: .*model\.bin/,
  });
});
