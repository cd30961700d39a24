import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const src = fileURLToPath(new URL('../../src', import.meta.url));

/** A room and the rooms it may import from, besides itself: docs/ARCHITECTURE.md, "The floors". */
const MAY_IMPORT: Record<string, readonly string[]> = {
  'visible-text': [],
  errors: [],
  storage: ['errors'],
  telemetry: ['storage/content'],
  inode: ['storage'],
  checkpoint: ['errors', 'telemetry', 'storage'],
  numbers: ['errors', 'storage', 'checkpoint'],
  viz: ['errors', 'storage', 'checkpoint', 'numbers'],
  fuse: ['errors', 'telemetry', 'storage', 'inode'],
  tree: ['errors', 'telemetry', 'storage', 'inode', 'checkpoint', 'numbers', 'viz'],
  activations: ['errors', 'storage', 'checkpoint', 'numbers', 'fuse'],
  rpc: ['errors', 'telemetry', 'storage', 'fuse'],
  mount: [
    'errors',
    'telemetry',
    'storage',
    'inode',
    'checkpoint',
    'numbers',
    'tree',
    'fuse',
    'activations',
    'rpc',
  ],
  index: ['errors', 'telemetry', 'storage', 'checkpoint', 'tree', 'fuse', 'mount'],
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
    'mount',
    'index',
    'throughput',
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
    // The lowest floor is everybody's.
    const allowed = [...named, 'visible-text'];
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
