/** A bench that is interrupted ends the program that it waits for: what the program writes is removed after it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory } from '../support/tmp.ts';

/** The program names its process id in a file, which appears as a whole. */
const SCRIPT = `
  import { untilInterrupted } from ${JSON.stringify(import.meta.resolve('../../bench/interrupt.ts'))};
  import { output } from ${JSON.stringify(import.meta.resolve('../../bench/programs.ts'))};
  const program = 'echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 60';
  await untilInterrupted(() => output('sh', ['-c', program, 'sh', process.argv[1]]));
`;

test('an interrupted bench ends the program that it waits for', { timeout: 60_000 }, async (t) => {
  const named = join(await temporaryDirectory(t), 'pid');
  const args = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', SCRIPT, named];
  const bench = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(bench, 'exit');
  t.after(() => bench.kill('SIGKILL'));
  while (!existsSync(named)) await sleep(20);
  const program = Number(readFileSync(named, 'utf8'));
  process.kill(program, 0);
  bench.kill('SIGINT');
  assert.deepEqual(await ended, [130, null]);
  assert.throws(() => process.kill(program, 0), { code: 'ESRCH' });
});
