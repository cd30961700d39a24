/** The library as others get it: the packed tarball, unpacked elsewhere, used by a program of ten lines and typed. */
import assert from 'node:assert/strict';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { output, run } from '../support/run.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
const VIEWS = fileURLToPath(new URL('../fixtures/torch-2.13/views.pt', import.meta.url));

const PROGRAM = `import { openCheckpoint, type TensorMapping } from 'mlfs';

const checkpoint = await openCheckpoint(process.argv[2] ?? '');
for (const { name, dtype, shape } of checkpoint.tensors) console.log(name, dtype, shape.join('x'));
const bytes: Buffer = await checkpoint.readTensor('end_of_storage');
console.log(bytes.readFloatLE(0));
await checkpoint.close();

/** Compiled and not run: the package has no addon. */
export function first(): number | undefined {
  const mapping: TensorMapping = checkpoint.map('base', { mode: 'r', intent: 'sequential', offset: 4 });
  return mapping.array instanceof Float32Array ? mapping.array[0] : mapping.bytes[0];
}
`;

test('the packed library lists and reads a checkpoint, and its types hold', {
  timeout: 120_000,
}, async (t) => {
  const folder = await temporaryDirectory(t);
  const packed = await output('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], {
    cwd: PROJECT,
  });
  await output('tar', ['-xzf', join(folder, packed.trim()), '-C', folder]);
  const modules = join(folder, 'app/node_modules');
  await mkdir(modules, { recursive: true });
  await symlink(join(folder, 'package'), join(modules, 'mlfs'));
  // What it depends on is where npm would put it; nothing of the project itself is.
  const dependencies = join(PROJECT, 'node_modules');
  await mkdir(join(folder, 'package/node_modules'));
  for (const name of await readdir(dependencies)) {
    if (name.startsWith('.')) continue;
    await symlink(join(dependencies, name), join(folder, 'package/node_modules', name));
  }
  await symlink(join(dependencies, '@types'), join(modules, '@types'));

  await writeFile(join(folder, 'app/package.json'), '{"type": "module"}');
  await writeFile(join(folder, 'app/program.mts'), PROGRAM);
  const typescript = join(dependencies, '.bin/tsc');
  const options = [
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--types',
    'node',
    '--outDir',
    '.',
  ];
  const compiled = await run(typescript, [...options, 'program.mts'], { cwd: join(folder, 'app') });
  assert.equal(compiled.code, 0, compiled.stdout);

  const said = await output(process.execPath, ['program.mjs', VIEWS], { cwd: join(folder, 'app') });
  assert.match(said, /^base float32 5x6x7$/m);
  assert.match(said, /^transposed float32 7x5x6$/m);
  assert.equal(said.trim().split('\n').at(-1), '209');
});

test('the packed command line runs from where it was unpacked', { timeout: 120_000 }, async (t) => {
  const folder = await temporaryDirectory(t);
  const packed = await output('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], {
    cwd: PROJECT,
  });
  await output('tar', ['-xzf', join(folder, packed.trim()), '-C', folder]);
  await symlink(join(PROJECT, 'node_modules'), join(folder, 'package/node_modules'));
  const listed = await output(process.execPath, [join(folder, 'package/dist/cli/main.js'), 'ls', VIEWS]);
  assert.match(listed, /transposed/);
});
