import assert from 'node:assert/strict';
import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { run } from '../../support/run.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const MAIN = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');

/** A folder with `plain.pt`, and a shell in it: only a shell can say names that are not UTF-8. `mlfs` is the command line. */
async function scene(t: TestContext) {
  const folder = await temporaryDirectory(t);
  await writeTorchZip(join(folder, 'plain.pt'), {
    tensors: [{ name: 'w', dtype: 'uint8', shape: [4], fill: Buffer.from('abcd') }],
  });
  const shell = (script: string) =>
    run(
      'bash',
      ['-c', `cd "$1"; mlfs() { "$NODE" --import "$TSX" "$MAIN" "$@"; }; ${script}`, 'bash', folder],
      {
        env: { ...process.env, NODE: process.execPath, TSX, MAIN },
      },
    );
  return { folder, shell };
}

test('a path that is not UTF-8 is refused with its bytes, and not taken for the file of another name', async (t) => {
  const { folder, shell } = await scene(t);
  await copyFile(join(folder, 'plain.pt'), join(folder, 'caf\uFFFD.pt'));
  for (const command of ['ls', 'info', 'status', 'verify']) {
    const said = await shell(`cp plain.pt $'caf\\xe9.pt'; mlfs ${command} $'caf\\xe9.pt'`);
    assert.equal(said.code, 2, command);
    assert.match(said.stderr, /^mlfs: caf\\xe9\.pt: is not UTF-8.*\n {2}try: .*ln -s/);
  }
  const mounted = await shell(`mkdir $'m\\xff'; mlfs mount plain.pt $'m\\xff'`);
  assert.equal(mounted.code, 2);
  assert.match(mounted.stderr, /^mlfs: m\\xff: is not UTF-8/);
});

test('a name that really holds U+FFFD is a name as any other', async (t) => {
  const { folder, shell } = await scene(t);
  await copyFile(join(folder, 'plain.pt'), join(folder, 'caf\uFFFD.pt'));
  assert.equal((await shell(`mlfs cat $'caf\\xef\\xbf\\xbd.pt' w`)).stdout, 'abcd');
});

test('from a working directory that is not UTF-8 only absolute paths are read', async (t) => {
  const { folder, shell } = await scene(t);
  await mkdir(join(folder, 'd\uFFFD'));
  const said = await shell(`mkdir $'d\\xff'; cp plain.pt $'d\\xff/'; cd $'d\\xff'; mlfs ls plain.pt`);
  assert.equal(said.code, 2);
  assert.match(said.stderr, /^mlfs: the working directory .*\/d\\xff: is not UTF-8.*\n {2}try: .*absolute/);
  assert.equal((await shell(`cd $'d\\xff'; mlfs ls "$1/plain.pt"`)).code, 0);
});

test('no way of giving a path starts from a working directory that is not UTF-8', async (t) => {
  const { folder, shell } = await scene(t);
  await mkdir(join(folder, 'd\uFFFD'));
  await shell(`mkdir $'d\\xff'; cp plain.pt $'d\\xff/'`);
  for (const line of [
    'commit "$1/plain.pt" --to=out.pt',
    'seal "$1/plain.pt" --output=seal.json',
    'seal "$1/plain.pt" -oseal.json',
    'mount --state=state "$1/plain.pt" "$1/none"',
    '--model=plain.pt --mount="$1/none"',
    'plain.pt "$1/none"',
    'info -- -plain.pt',
  ]) {
    const said = await shell(`cd $'d\\xff'; mlfs ${line}`);
    assert.equal(said.code, 2, line);
    assert.match(said.stderr, /^mlfs: the working directory .*\/d\\xff: is not UTF-8/, line);
  }
  assert.deepEqual(await readdir(join(folder, 'd\uFFFD')), []);
  const sealed = await shell(`cd $'d\\xff'; mlfs seal "$1/plain.pt" --output="$1/seal.json"`);
  assert.equal(sealed.code, 0, sealed.stderr);
});

test('a link with a plain name is read; edits of it are kept only where --state says', async (t) => {
  const { folder, shell } = await scene(t);
  const said = await shell(
    `cp plain.pt $'caf\\xe9.pt'; ln -s $'caf\\xe9.pt' link.pt; mlfs cat link.pt w; mlfs status link.pt`,
  );
  assert.match(said.stdout, /^abcd/);
  assert.match(said.stderr, /link\.pt: leads to a path that is not UTF-8.*\n {2}try: .*--state DIR/);
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.endsWith('.mlfs')),
    [],
  );
});
