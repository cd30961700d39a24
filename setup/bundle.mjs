// Makes dist/, which is published: the library, the command and the programs that they run, bundled with the packages that they use and
// split into chunks, so that each loads only what it needs. tsc must have run: the types of the library come from build/modules/.
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const project = fileURLToPath(new URL('..', import.meta.url));
const modules = path.join(project, 'build/modules');
// Made beside dist/, because source maps name the sources relative to it, and moved there when it is complete.
const made = path.join(project, 'dist.new');
const dist = path.join(project, 'dist');
const old = path.join(project, 'dist.old');

/** What is run or imported by its name: each is a file of dist/ with the same path as in src/. */
const ENTRIES = [
  'index', // `import 'mlfs'`
  'cli/main', // `mlfs`
  'cli/mount-process',
  'storage/digest-worker',
  'tree/ir/graph-worker',
  'throughput/reading-process',
  // The examples write checkpoints with these two.
  'checkpoint/torch/writer',
  'checkpoint/pickle/values',
];

/** Packages with binaries of their own: optional, and found in node_modules when they are needed. */
const EXTERNAL = ['fuse-native', 'mmap-io'];

/**
 * esbuild makes a chunk for each set of places that code is loaded from: a hundred in all, and Node takes half a millisecond for each. So what
 * these load is one chunk: `base` is loaded everywhere, `mounts` and `common` everywhere but in the small places. `mlfs umount` needs no more
 * than `mounts`, unless there are edits.
 */
const BASE = ['src/cli/stdout.ts', 'src/version.ts'];
const MOUNTS = [
  'src/mount/mountpoint.ts',
  'src/fuse/transport/unmount.ts',
  ...['find-mount', 'mount-client', 'server-end'].map((name) => `src/targets/${name}.ts`),
];
const COMMON = [
  'src/index.ts',
  'src/targets/find-edit-target.ts',
  'src/telemetry/log.ts',
  ...['output', 'notice', 'printable', 'interrupted-by', 'ending-signals'].map(
    (name) => `src/cli/${name}.ts`,
  ),
];
/** Its first line names Node, and esbuild keeps that of an entry only. */
const COMMAND = 'src/cli/main.ts';
/** These run before it is known what is needed, or need little. */
const SMALL = new Set([
  'src/cli/program.ts',
  'src/cli/server-child.ts',
  'src/storage/digest-worker.ts',
  'src/tree/ir/graph-worker.ts',
  'src/throughput/reading-process.ts',
]);

const options = {
  absWorkingDir: project,
  entryPoints: ENTRIES.map((entry) => `src/${entry}.ts`),
  outbase: 'src',
  outdir: made,
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: EXTERNAL,
  // Stack traces name files and lines of src/ under --enable-source-maps. The sources themselves are not published.
  sourcemap: 'linked',
  sourcesContent: false,
  // Packages in CommonJS call `require` for modules of Node.
  banner: {
    js: "import { createRequire as createRequireOfBundle } from 'node:module';\nconst require = createRequireOfBundle(import.meta.url);",
  },
  // Without the comments and indents of the sources Node parses a third less. Names stay, for stack traces without source maps.
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 200,
  metafile: true,
};
rmSync(made, { recursive: true, force: true });
const { metafile: first } = await build({ ...options, write: false });
refuseLateCommonJs(first.inputs);
const { metafile } = await build({ ...options, plugins: [fewChunks(first.inputs)] });
copyTypes('index.d.ts');
writeFileSync(path.join(made, 'third-party-licenses.txt'), licences(Object.keys(metafile.inputs)));
// At each moment there is a complete build, but for one between two renames.
rmSync(old, { recursive: true, force: true });
if (existsSync(dist)) renameSync(dist, old);
renameSync(made, dist);
rmSync(old, { recursive: true, force: true });

/**
 * Gives every place that code is loaded from a module of its own, which loads the groups and then what was asked for. The sources themselves do not load the
 * groups: a source that is in one would be in a circle. `inputs`: what each source imports.
 */
function fewChunks(inputs) {
  const groups = {
    base: loadedBy(BASE, inputs),
    mounts: loadedBy(MOUNTS, inputs),
    common: loadedBy(COMMON, inputs),
  };
  const groupsOf = (source) => {
    if (SMALL.has(source)) return ['base'];
    return groups.mounts.includes(source) ? ['base', 'mounts'] : ['base', 'mounts', 'common'];
  };
  const importing = (file) => `import ${JSON.stringify(path.join(project, file))};`;
  return {
    name: 'few-chunks',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /\.ts$/ }, ({ path: file, resolveDir, kind }) => {
        const source = path.relative(project, path.resolve(resolveDir, file));
        const isPlace = kind === 'dynamic-import' || (kind === 'entry-point' && source !== COMMAND);
        return isPlace ? { path: source, namespace: 'place' } : undefined;
      });
      onLoad({ filter: /.*/, namespace: 'place' }, ({ path: source }) => ({
        contents: [
          ...groupsOf(source).map((group) => `import 'group:${group}';`),
          `export * from ${JSON.stringify(path.join(project, source))};`,
        ].join('\n'),
        resolveDir: project,
      }));
      onResolve({ filter: /^group:/ }, ({ path: name }) => ({ path: name.slice(6), namespace: 'group' }));
      onLoad({ filter: /.*/, namespace: 'group' }, ({ path: name }) => ({
        contents: groups[name].map(importing).join('\n'),
        resolveDir: project,
      }));
    },
  };
}

/** A late import of a package in CommonJS would have `default` and no other name. */
function refuseLateCommonJs(inputs) {
  for (const [source, { imports }] of Object.entries(inputs)) {
    for (const { path: imported, kind } of imports) {
      if (kind !== 'dynamic-import' || inputs[imported]?.format !== 'cjs') continue;
      throw new Error(
        `${source} loads ${imported} late, which is CommonJS: load a file late that exports what is needed of it`,
      );
    }
  }
}

/** The sources that are loaded with these. */
function loadedBy(files, inputs) {
  const loaded = new Set(files);
  for (const file of loaded) {
    for (const { path: imported, kind } of inputs[file].imports) {
      if (kind === 'import-statement' && imported in inputs) loaded.add(imported);
    }
  }
  return [...loaded];
}

/** Copies the types of a module and of the modules that they refer to. */
function copyTypes(file) {
  const target = path.join(made, 'types', file);
  if (existsSync(target)) return;
  const types = readFileSync(path.join(modules, file), 'utf8');
  mkdirSync(path.dirname(target), { recursive: true });
  cpSync(path.join(modules, file), target);
  for (const [, module] of types.matchAll(/(?:from|import\()\s*'(\.[^']+)\.ts'/g)) {
    copyTypes(path.join(path.dirname(file), `${module}.d.ts`));
  }
}

/** The licences of the bundled packages, which say that they must be kept. */
function licences(inputs) {
  const packages = new Set(
    inputs.flatMap((input) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []),
  );
  const texts = [...packages].sort().map((folder) => {
    const { name, version, license } = JSON.parse(
      readFileSync(path.join(project, folder, 'package.json'), 'utf8'),
    );
    const file = ['LICENSE', 'LICENSE.md', 'license', 'LICENSE-MIT.txt'].find((one) =>
      existsSync(path.join(project, folder, one)),
    );
    const text = file === undefined ? '' : readFileSync(path.join(project, folder, file), 'utf8').trim();
    return `${name} ${version}, ${license}\n\n${text}\n`;
  });
  return `dist/ contains code of these packages.\n\n${texts.join(`\n${'-'.repeat(80)}\n\n`)}`;
}
