/** dist/ as `npm run build` made it: what runs by name is there, each command loads little, and errors name the lines of the sources. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DEBIAN_PYTHON, requires } from '../support/requires.ts';
import { output, run } from '../support/run.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
const DIST = join(PROJECT, 'dist');
const MAIN = join(DIST, 'cli/main.js');

/** The files that Node loads before it runs `file`: what that imports, and what those import. */
function loadedWith(file: string, loaded = new Set<string>()): Set<string> {
  if (loaded.has(file)) return loaded;
  loaded.add(file);
  for (const [, imported = ''] of readFileSync(file, 'utf8').matchAll(/\b(?:import|from)\s*"(\.[^"]+)"/g)) {
    loadedWith(resolve(dirname(file), imported), loaded);
  }
  return loaded;
}

/** The sources whose code is in a file of dist/, relative to the project. */
function sourcesOf(file: string): string[] {
  const { sources } = JSON.parse(readFileSync(`${file}.map`, 'utf8')) as { sources: string[] };
  return sources.map((source) => resolve(dirname(file), source).slice(PROJECT.length));
}

test('every program that MLFS runs as a process of its own is in dist/', () => {
  const files = readdirSync(join(PROJECT, 'src'), { recursive: true, encoding: 'utf8' });
  const named = files
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(join(PROJECT, 'src', file), 'utf8'))
    .flatMap((text) => [
      ...text.matchAll(/(?:ownProgram|programArguments|askChild(?:<\w+>)?)\(\s*'([^']+)'/g),
    ])
    .map(([, name]) => name);
  assert.ok(named.includes('cli/mount-process') && named.includes('throughput/reading-process'), `${named}`);
  for (const name of named) assert.ok(existsSync(join(DIST, `${name}.js`)), `dist/${name}.js`);
});

test('importing the library runs no command and loads none', async () => {
  const program = "await import(process.env.LIBRARY); console.log('imported');";
  const said = await output(process.execPath, ['--input-type=module', '--eval', program, '--', '--version'], {
    env: { ...process.env, LIBRARY: join(DIST, 'index.js') },
  });
  assert.equal(said, 'imported\n');
  const sources = [...loadedWith(join(DIST, 'index.js'))].flatMap(sourcesOf);
  assert.ok(sources.includes('src/checkpoint/open.ts'));
  assert.deepEqual(
    sources.filter((source) =>
      /^src\/cli\/(main|program|mount)\.ts$|\/(commander|cli-progress)\//.test(source),
    ),
    [],
  );
});

test('mlfs --version loads almost nothing, and the program nothing that commands work with', async () => {
  assert.match(await output(process.execPath, [MAIN, '--version']), /^mlfs \d+\.\d+\.\d+\n$/);
  const loaded = [...loadedWith(MAIN)];
  const bytes = loaded.reduce((sum, file) => sum + statSync(file).size, 0);
  assert.ok(bytes < 16_384, `${bytes} bytes`);
  assert.ok(!loaded.flatMap(sourcesOf).includes('src/cli/program.ts'));
  const program = readdirSync(join(DIST, 'chunks')).find((file) => /^program-\w+\.js$/.test(file));
  const sources = [...loadedWith(join(DIST, 'chunks', `${program}`))].flatMap(sourcesOf);
  assert.ok(sources.includes('src/cli/program.ts'));
  const working = ['src/checkpoint/open.ts', 'src/targets/find-mount.ts', 'src/mount/mount-server.ts'];
  for (const source of working) assert.ok(!sources.includes(source), source);
});

test('a command that reads a checkpoint loads a dozen files, and nothing that serves mounts', () => {
  const chunk = (name: string) => {
    const files = readdirSync(join(DIST, 'chunks'));
    const file = files.find((one) => one.startsWith(`${name}-`) && one.endsWith('.js'));
    assert.ok(file !== undefined, name);
    return join(DIST, 'chunks', file);
  };
  const entries = [MAIN, chunk('program'), chunk('uncommitted-note'), join(DIST, 'index.js')];
  const loaded = new Set(entries.flatMap((file) => [...loadedWith(file)]));
  assert.ok(loaded.size <= 16, `${loaded.size} files`);
  const sources = [...loaded].flatMap(sourcesOf);
  assert.ok(sources.includes('src/checkpoint/open.ts'));
  assert.ok(!sources.includes('src/mount/mount-server.ts'));
});

test('each part that is loaded when it is needed may be the first to be loaded', async () => {
  const parts = readdirSync(join(DIST, 'chunks')).filter((file) => /^(?!chunk-).*\.js$/.test(file));
  assert.ok(parts.length > 20, parts.join());
  const entries = ['index.js', 'checkpoint/torch/writer.js', 'checkpoint/pickle/values.js'];
  for (const file of [...entries, ...parts.map((part) => `chunks/${part}`)]) {
    const { code, stderr } = await run(process.execPath, [
      '--input-type=module',
      '--eval',
      `await import(${JSON.stringify(join(DIST, file))}); process.exit();`,
    ]);
    assert.equal(code, 0, `${file}: ${stderr}`);
  }
});

test(
  'the commands with a progress bar work from the bundle on a terminal',
  requires('fuse', 'addon'),
  async () => {
    const drive = fileURLToPath(new URL('../support/drive-terminal.py', import.meta.url));
    const checkpoint = join(PROJECT, 'test/fixtures/torch-2.13/checkpoint.pt');
    for (const [words, code, said] of [
      [['verify', checkpoint], 0, /every CRC-32 is right/],
      [['seal', checkpoint], 0, /^[0-9a-f]{64} {2}model/m],
      [['bench', '--seconds', '1', checkpoint], 0, /mount: served by/],
      [['bench', '/nonexistent.pt'], 1, /mlfs: \/nonexistent\.pt: /],
    ] as const) {
      const shown = await run(DEBIAN_PYTHON, [drive, '[]', process.execPath, MAIN, ...words]);
      assert.equal(shown.code, code, shown.stdout + shown.stderr);
      assert.match(shown.stdout, said);
    }
  },
);

test('an error of the bundle names files and lines of src/ under MLFS_DEBUG and under --enable-source-maps', async () => {
  for (const [options, env] of [
    [[], { MLFS_DEBUG: '1' }],
    [['--enable-source-maps'], { MLFS_DEBUG: '1' }],
  ] as const) {
    const { code, stderr } = await run(process.execPath, [...options, MAIN, 'info', '/nonexistent.pt'], {
      env: { ...process.env, ...env },
    });
    assert.equal(code, 1, stderr);
    const places = [...stderr.matchAll(/(\/[^\s():]*\.ts):(\d+):\d+/g)];
    assert.ok(places.length > 2, stderr);
    for (const [, file = '', line] of places) {
      assert.ok(file.startsWith(join(PROJECT, 'src')), stderr);
      assert.ok(Number(line) <= readFileSync(file, 'utf8').split('\n').length, `${file}:${line}`);
    }
    assert.match(stderr, /openCheckpoint.*\/src\/checkpoint\/open\.ts:\d+/);
  }
});

test('dist/ has the licence of each package whose code is in it', () => {
  const licences = readFileSync(join(DIST, 'third-party-licenses.txt'), 'utf8');
  const files = readdirSync(DIST, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.js'),
  );
  const sources = files.flatMap((file) => sourcesOf(join(DIST, file)));
  const packages = new Set(
    sources.flatMap((source) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source)?.[1] ?? []),
  );
  assert.ok(packages.has('commander') && packages.has('yauzl'), [...packages].join());
  for (const name of packages) {
    assert.match(licences, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+, \\S+\\n\\n[^\\n]+\\n`, 'm'), name);
  }
});
