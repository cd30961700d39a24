import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../../support/run.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const PROGRAM = fileURLToPath(new URL('../../../setup/packages-are-current.mjs', import.meta.url));

interface Package {
  readonly version: string;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly libc?: readonly string[];
}

type Packages = Readonly<Record<string, Package>>;

const WANTED: Packages = {
  '': { version: '0.1.0' },
  'node_modules/a': { version: '1.0.0' },
  'node_modules/b': { version: '2.0.0', optional: true },
  'node_modules/for-others': { version: '3.0.0', optional: true, os: ['plan9'] },
  'node_modules/for-no-libc': { version: '3.0.0', optional: true, libc: ['none'] },
};
const INSTALLED: Packages = {
  'node_modules/a': { version: '1.0.0' },
  'node_modules/b': { version: '2.0.0' },
};

/** Whether a project whose packages are these needs no `npm ci`. */
async function isCurrent(
  folder: string,
  installed: Packages,
  present = Object.keys(installed),
): Promise<boolean> {
  await mkdir(join(folder, 'node_modules'), { recursive: true });
  await writeFile(join(folder, 'package-lock.json'), JSON.stringify({ packages: WANTED }));
  const hidden = join(folder, 'node_modules/.package-lock.json');
  await writeFile(hidden, JSON.stringify({ packages: installed }));
  for (const name of present) {
    const manifest = join(folder, name, 'package.json');
    await mkdir(dirname(manifest), { recursive: true });
    await writeFile(manifest, '{}');
  }
  const { code, stderr } = await run(process.execPath, [PROGRAM, folder]);
  assert.equal(stderr, '');
  return code === 0;
}

test('packages for other machines need not be there', async (t) => {
  assert.equal(await isCurrent(await temporaryDirectory(t), INSTALLED), true);
});

test('a package of another version is not current', async (t) => {
  const other = { ...INSTALLED, 'node_modules/a': { version: '1.0.1' } };
  assert.equal(await isCurrent(await temporaryDirectory(t), other), false);
});

test('an optional package for this machine that npm left out is not current', async (t) => {
  assert.equal(
    await isCurrent(await temporaryDirectory(t), { 'node_modules/a': { version: '1.0.0' } }),
    false,
  );
});

test('a package whose folder was removed is not current', async (t) => {
  assert.equal(await isCurrent(await temporaryDirectory(t), INSTALLED, ['node_modules/a']), false);
});

test('a folder where nothing was installed is not current', async (t) => {
  const folder = await temporaryDirectory(t);
  await writeFile(join(folder, 'package-lock.json'), JSON.stringify({ packages: WANTED }));
  assert.equal((await run(process.execPath, [PROGRAM, folder])).code, 1);
});
