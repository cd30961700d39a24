import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const src = fileURLToPath(new URL('../../src', import.meta.url));

/** A room and the rooms it may import from, besides itself: docs/ARCHITECTURE.md, "The floors". */
const MAY_IMPORT: Record<string, readonly string[]> = {
  'own-package': [],
  'visible-text': [],
  errors: [],
  storage: ['errors'],
  telemetry: ['errors', 'storage'],
  inode: ['storage'],
  'kernel-view': ['errors', 'storage'],
  checkpoint: ['errors', 'storage'],
  numbers: ['errors', 'storage', 'checkpoint'],
  viz: ['errors', 'storage', 'checkpoint', 'numbers'],
  fuse: ['errors', 'telemetry', 'storage', 'inode', 'kernel-view'],
  tree: ['errors', 'telemetry', 'storage', 'inode', 'kernel-view', 'checkpoint', 'numbers', 'viz'],
  activations: ['errors', 'storage', 'checkpoint', 'numbers', 'fuse'],
  rpc: ['errors', 'telemetry', 'storage', 'fuse'],
  version: [],
  doctor: ['errors', 'storage', 'kernel-view', 'fuse'],
  targets: ['errors', 'telemetry', 'storage', 'inode', 'checkpoint', 'numbers', 'tree', 'fuse', 'version'],
  mount: [
    'errors',
    'telemetry',
    'storage',
    'inode',
    'kernel-view',
    'checkpoint',
    'tree',
    'fuse',
    'activations',
    'rpc',
    'targets',
    'version',
  ],
  index: ['errors', 'telemetry', 'storage', 'checkpoint', 'tree', 'fuse', 'targets', 'mount'],
  throughput: ['errors', 'storage', 'checkpoint'],
  cli: [
    'errors',
    'telemetry',
    'storage',
    'checkpoint',
    'numbers',
    'rpc',
    'tree',
    'fuse',
    'doctor',
    'targets',
    'mount',
    'index',
    'throughput',
    'version',
  ],
};

function sourceFiles(): string[] {
  return readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
}

function relativeImports(file: string): string[] {
  const text = readFileSync(path.join(src, file), 'utf8');
  return [...text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map(([, target]) =>
    path.join(path.dirname(file), target ?? ''),
  );
}

function room(file: string): string {
  return file.split(path.sep)[0]?.replace(/\.ts$/, '') ?? '';
}

test('every import points down the floors', () => {
  const violations: string[] = [];
  let imports = 0;
  for (const file of sourceFiles()) {
    const named = MAY_IMPORT[room(file)];
    assert.ok(named, `${file} stands on no floor: name it in MAY_IMPORT`);
    // The lowest floors are everybody's.
    const allowed = [...named, 'visible-text', 'own-package'];
    for (const target of relativeImports(file)) {
      imports++;
      const same = room(target) === room(file);
      const below = allowed.some(
        (prefix) => target === `${prefix}.ts` || target.startsWith(`${prefix}${path.sep}`),
      );
      if (!same && !below) violations.push(`${file} imports ${target}`);
    }
  }
  assert.ok(imports > 20, 'the imports were found');
  assert.deepEqual(violations, []);
});

/** The first circle of imports found, as the files on the way round; undefined when there is none. */
function importCircle(imports: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const cleared = new Set<string>();
  const way: string[] = [];
  const follow = (file: string): string[] | undefined => {
    const at = way.indexOf(file);
    if (at >= 0) return [...way.slice(at), file];
    if (cleared.has(file)) return undefined;
    way.push(file);
    for (const target of imports.get(file) ?? []) {
      const circle = follow(target);
      if (circle !== undefined) return circle;
    }
    way.pop();
    cleared.add(file);
    return undefined;
  };
  for (const file of imports.keys()) {
    const circle = follow(file);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

test('no file imports itself by way of others, not even for a type', () => {
  const imports = new Map(sourceFiles().map((file) => [file, relativeImports(file)]));
  assert.equal(importCircle(imports)?.join(' → '), undefined);
});

test('no floor stands on itself', () => {
  assert.equal(importCircle(new Map(Object.entries(MAY_IMPORT)))?.join(' → '), undefined);
});

test('a circle of imports is found', () => {
  const imports = new Map([
    ['a', ['b', 'c']],
    ['b', ['c']],
    ['c', ['d']],
    ['d', ['b']],
  ]);
  assert.deepEqual(importCircle(imports), ['b', 'c', 'd', 'b']);
});

test('only the bindings know N-API', () => {
  const native = path.join(src, '..', 'native');
  const knowing = readdirSync(native)
    .filter((file) => /\.(cc|h)$/.test(file))
    .filter((file) => /napi/i.test(readFileSync(path.join(native, file), 'utf8')));
  assert.ok(knowing.includes('binding.cc'));
  assert.deepEqual(
    knowing.filter((file) => !/binding\.(cc|h)$/.test(file)),
    [],
  );
});
