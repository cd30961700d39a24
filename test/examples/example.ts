/**
 * Runs an example as a person would, and sees that it cleans up. The example has a TMPDIR of its own; when it has ended, no mount
 * is left below it, no file in it, and no process that was started with it.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { releaseMountsBelow } from '../support/leaked-mounts.ts';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));

export interface ExampleOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Against hanging, not a promise of speed. */
  readonly timeoutMs?: number;
  /** Called with the running example; what it throws fails the test, and the example is ended. */
  readonly meanwhile?: (example: RunningExample) => Promise<void>;
  /** What the example must end with; 0 unless told. */
  readonly exitCode?: number;
}

export interface RunningExample {
  readonly pid: number;
  /** Resolves when `text` was printed. */
  printed(text: string): Promise<void>;
}

/** Runs `examples/NAME/run.sh`, or another script, and resolves with what it printed, both streams in their order. */
export async function runExample(
  t: TestContext,
  name: string,
  options: ExampleOptions = {},
): Promise<string> {
  const script = name.endsWith('.sh') ? name : join(EXAMPLES, name, 'run.sh');
  const folder = await temporaryDirectory(t);
  const tmp = join(folder, 'tmp');
  await mkdir(tmp);
  const log = join(folder, 'output');
  const file = await open(log, 'a');
  const child = spawn('bash', [script, ...(options.args ?? [])], {
    stdio: ['ignore', file.fd, file.fd],
    env: { ...process.env, LC_ALL: 'C.UTF-8', PYTHON: DEBIAN_PYTHON, ...options.env, TMPDIR: tmp },
  });
  await file.close();
  const read = () => readFile(log, 'utf8');
  const timeoutMs = options.timeoutMs ?? 180_000;
  let hung = false;
  const timer = setTimeout(() => {
    hung = true;
    child.kill('SIGTERM');
  }, timeoutMs);
  try {
    const exit = once(child, 'exit');
    await options.meanwhile?.({
      pid: child.pid ?? assert.fail('bash did not start'),
      printed: async (text) => {
        while (!(await read()).includes(text)) {
          if (child.exitCode !== null || child.signalCode !== null) {
            assert.fail(`it ended before it printed ${text}:\n${await read()}`);
          }
          await sleep(50);
        }
      },
    });
    const [code, signal] = await exit;
    const output = await read();
    assert.ok(!hung, `${name} did not end in ${timeoutMs} ms:\n${output}`);
    assert.equal(code ?? signal, options.exitCode ?? 0, output);
    assert.deepEqual(await leftProcesses(tmp), [], `processes of ${name} are left:\n${output}`);
    assert.deepEqual(await releaseMountsBelow(folder), [], `mounts of ${name} are left:\n${output}`);
    assert.deepEqual(await readdir(tmp), [], `files of ${name} are left:\n${output}`);
    return output;
  } finally {
    clearTimeout(timer);
    await endEverything(tmp, folder);
  }
}

/** The processes whose environment has this TMPDIR, when they have had a while to end. */
async function leftProcesses(tmp: string): Promise<string[]> {
  for (let tick = 0; ; tick++) {
    const left = await processesOf(tmp);
    if (left.length === 0 || tick === 50) return left.map(({ command }) => command);
    await sleep(100);
  }
}

async function processesOf(tmp: string): Promise<{ pid: number; command: string }[]> {
  const found: { pid: number; command: string }[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    try {
      const environment = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0');
      if (!environment.includes(`TMPDIR=${tmp}`)) continue;
      const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').join(' ').trim();
      found.push({ pid, command });
    } catch (error) {
      if (!GONE.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  return found;
}

/** The process ended meanwhile, or is somebody else's. */
const GONE = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM']);

async function endEverything(tmp: string, folder: string): Promise<void> {
  for (const { pid } of await processesOf(tmp)) process.kill(pid, 'SIGKILL');
  await releaseMountsBelow(folder);
}
