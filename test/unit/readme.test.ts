import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { output } from '../support/run.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

test('README shows two commands, both of which package.json has', async () => {
  const shown = await output(process.execPath, ['.ci/readme-commands.mjs', 'README.md'], { cwd: PROJECT });
  const commands = shown.trim().split('\n');
  assert.equal(commands.length, 2, shown);
  const { scripts } = JSON.parse(await readFile(`${PROJECT}/package.json`, 'utf8'));
  for (const command of commands) {
    const [, name] = /^npm (?:run )?([\w:]+)/.exec(command) ?? [];
    assert.ok(name !== undefined && name in scripts, command);
  }
});
