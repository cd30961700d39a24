import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeCopy } from '../../../src/storage/copy.ts';
import { diskMedium } from '../../../src/storage/disk-medium.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import type { Progress } from '../../../src/storage/fold.ts';
import type { ImageBase } from '../../../src/storage/image.ts';
import type { DirtyRange } from '../../../src/storage/overlay.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const SIZE = 5 * 2 ** 20 + 77;

/** The base without a descriptor: it is copied by reads and writes. */
const withoutDescriptor = (source: FileSource): ImageBase => ({
  path: source.path,
  size: source.size,
  fingerprint: source.fingerprint,
  fd: undefined,
  refresh: () => source.refresh(),
  read: (offset, length) => source.read(offset, length),
  readNow: (offset, length) => source.readNow(offset, length),
  close: () => source.close(),
});

const CASES: readonly (readonly [string, readonly DirtyRange[]])[] = [
  ['nothing is replaced', []],
  [
    'the begin and the end are replaced',
    [
      { start: 0, end: 2 ** 20 },
      { start: SIZE - 9, end: SIZE },
    ],
  ],
  [
    'the middle is replaced',
    [
      { start: 5, end: 2 ** 21 },
      { start: 2 ** 21 + 1, end: 3 * 2 ** 20 },
    ],
  ],
  ['everything is replaced', [{ start: 0, end: SIZE }]],
];

async function check(t: TestContext, replaced: readonly DirtyRange[], asBase: (s: FileSource) => ImageBase) {
  const folder = await temporaryDirectory(t);
  const wanted = randomBytes(SIZE);
  await writeFile(join(folder, 'base'), wanted);
  const source = await FileSource.open(join(folder, 'base'));
  t.after(() => source.close());
  const steps: Progress[] = [];
  const path = join(folder, 'copy');
  await writeCopy(diskMedium, asBase(source), {
    path,
    overwrite: false,
    stateDirectory: join(folder, 'base.mlfs'),
    replaced,
    onProgress: (progress) => steps.push(progress),
    finish: async (file) => {
      for (const { start, end } of replaced)
        await file.write(start, [wanted.fill(start % 251, start, end).subarray(start, end)]);
    },
  });
  assert.ok((await readFile(path)).equals(wanted));
  // A file system that shares blocks copies nothing.
  const last = steps.at(-1);
  if (last === undefined) return;
  const left = replaced.reduce((rest, { start, end }) => rest - (end - start), SIZE);
  assert.deepEqual(last, { done: left, total: left });
}

for (const [name, replaced] of CASES) {
  test(`a copy has all bytes, and none is copied that is replaced anyway: ${name}`, async (t) => {
    await check(t, replaced, (source) => source);
  });
  test(`a copy by reads and writes has all bytes, too: ${name}`, async (t) => {
    await check(t, replaced, withoutDescriptor);
  });
}
