/**
 * Every file of bounded-shapes.ts, opened and mounted by a process of its own whose memory and processor time are measured. Memory does not depend on what
 * else the machine does; processor time does, by caches and shared cores, so the promise of two seconds is held with a slack.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../support/run.ts';
import { temporaryDirectory } from '../support/tmp.ts';
import { SHAPES } from './bounded-shapes.ts';

const MEASURE = fileURLToPath(new URL('measure-checkpoint.mjs', import.meta.url));
export const PEAK_BYTES = 512 * 1024 * 1024;
/** docs/SEMANTICS.md promises 2 on an idle machine. */
const CPU_SECONDS = 2;
const SLACK = 3;

export interface Step {
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

export interface Measured {
  /** `opened`, or an error's code. */
  readonly outcome: string;
  readonly message?: string;
  readonly tensors: number;
  readonly opened: Partial<Step>;
  readonly mounted: Partial<Step>;
  readonly documents: Partial<Step>;
  readonly holdMs: number;
  readonly heldBy?: string;
  /** Documents of /sys and /ir, in bytes. */
  readonly sizes: Readonly<Record<string, number>>;
}

export async function measured(t: TestContext, name: string, step: 'open' | 'mount'): Promise<Measured> {
  const shape = SHAPES.find((candidate) => candidate.name === name);
  assert.ok(shape !== undefined, name);
  const path = join(await temporaryDirectory(t), `hostile${shape.suffix}`);
  await writeFile(path, shape.bytes());
  const { code, stdout, stderr } = await run(process.execPath, [MEASURE, path, step], { timeoutMs: 300_000 });
  assert.equal(code, 0, stderr.slice(0, 2000));
  const result = JSON.parse(stdout) as Measured;
  for (const { cpuSeconds = 0, peakBytes = 0 } of [result.opened, result.mounted]) {
    if (cpuSeconds > most.cpuSeconds.value) most.cpuSeconds = { value: cpuSeconds, name };
    if (peakBytes > most.peakBytes.value) most.peakBytes = { value: peakBytes, name };
  }
  if (result.holdMs > most.holdMs.value) {
    most.holdMs = { value: result.holdMs, name: `${result.heldBy} of ${name}` };
  }
  return result;
}

/** The most that any file took so far. */
const NOTHING = { value: 0, name: 'no file' };
const most = { cpuSeconds: NOTHING, peakBytes: NOTHING, holdMs: NOTHING };

/** Says what was the most expensive: how near the promises are. */
export function tellTheMost(t: TestContext): void {
  const { cpuSeconds, peakBytes, holdMs } = most;
  t.diagnostic(`most processor time: ${cpuSeconds.value.toFixed(2)} s, ${cpuSeconds.name}`);
  t.diagnostic(`most memory: ${Math.round(peakBytes.value / 1024 / 1024)} MiB, ${peakBytes.name}`);
  if (holdMs.value > 0) t.diagnostic(`longest turn of the event loop: ${holdMs.value} ms, ${holdMs.name}`);
}

export function assertCheap({ cpuSeconds, peakBytes }: Partial<Step>, what: string): void {
  assert.ok(cpuSeconds !== undefined && peakBytes !== undefined, what);
  assert.ok(peakBytes <= PEAK_BYTES, `${what}: ${Math.round(peakBytes / 1024 / 1024)} MiB`);
  assert.ok(cpuSeconds <= CPU_SECONDS * SLACK, `${what}: ${cpuSeconds} s of processor time`);
}
