/** Other people's TorchScript archives, of torch 1.0 to 2: every line of their code is understood, and every graph is one. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { readEntry } from '../../src/checkpoint/zip/read-entry.ts';
import { MlfsError } from '../../src/errors.ts';
import { codeFiles } from '../../src/tree/ir/program-source.ts';
import { scriptDot } from '../../src/tree/ir/script-dot.ts';
import { scriptJson } from '../../src/tree/ir/script-json.ts';
import { readProgram } from '../../src/tree/ir/script-program.ts';
import { scriptText } from '../../src/tree/ir/script-text.ts';
import { CORPUS, requires } from '../support/requires.ts';
import { parseDot } from '../unit/tree/ir/plain-dot.ts';

const LIMIT = 32 * 1024 * 1024;

function archives(): string[] {
  const files = readdirSync(CORPUS, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = files.map((entry) => join(entry.parentPath, entry.name));
  return paths.filter((path) => readFileSync(path).subarray(0, 2).toString() === 'PK');
}

test('the code of every TorchScript archive of the corpus is taken apart', requires('corpus'), async () => {
  let programs = 0;
  for (const path of archives()) {
    const checkpoint = await openCheckpoint(path).catch((cause) => {
      if (cause instanceof MlfsError) return undefined;
      throw cause;
    });
    if (checkpoint === undefined) continue;
    const files = [];
    for (const { name, entry } of codeFiles(checkpoint)) {
      files.push({ name, text: (await readEntry(checkpoint.image, entry, LIMIT)).toString() });
    }
    await checkpoint.close();
    if (files.length === 0) continue;
    const program = readProgram({ name: path, files, modules: [] });
    assert.equal(program.declarations.kept, 0, path);
    assert.ok(program.graphs.length > 0, path);
    const text = scriptText(program);
    for (const { declared, nodes } of program.graphs) {
      assert.ok(text.includes(`\ndef ${declared.qualified}(`), `${path}: ${declared.qualified}`);
      assert.ok(declared.body.length === 0 || nodes.length > 0, `${path}: ${declared.qualified}`);
      for (const { sources } of nodes) for (const source of sources) assert.ok(source < nodes.length);
    }
    JSON.parse(scriptJson(program));
    parseDot(scriptDot(program));
    programs++;
  }
  assert.ok(programs >= 7, `${programs} programs`);
});
