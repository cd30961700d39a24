import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requires } from '../support/requires.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const NEEDS = requires('fuse', 'addon');

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(
    `a demo that is ended by ${signal} takes its mount and its folder away, and ends by the signal`,
    NEEDS,
    async (t) => {
      const folder = await temporaryDirectory(t);
      const demo = spawn(process.execPath, ['--import', 'tsx', MAIN, 'demo'], {
        env: { ...process.env, TMPDIR: folder },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(demo, 'exit');
      let said = '';
      for await (const chunk of demo.stdout.setEncoding('utf8')) {
        if (!said.includes('Mounted (') && (said + chunk).includes('Mounted (')) demo.kill(signal);
        said += chunk;
      }
      assert.deepEqual(await ended, [null, signal]);
      assert.ok(said.includes('Mounted ('));
      assert.ok(!(await readFile('/proc/self/mountinfo', 'utf8')).includes(folder), 'nothing is mounted');
      assert.deepEqual(
        (await readdir(folder)).filter((name) => name.startsWith('mlfs-')),
        [],
      );
    },
  );
}
