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
  readonly opened: Step;
  readonly mounted: Step;
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
  return JSON.parse(stdout) as Measured;
}

export function assertCheap({ cpuSeconds, peakBytes }: Step, what: string): void {
  assert.ok(peakBytes <= PEAK_BYTES, `${what}: ${Math.round(peakBytes / 1024 / 1024)} MiB`);
  assert.ok(cpuSeconds <= CPU_SECONDS * SLACK, `${what}: ${cpuSeconds} s of processor time`);
}
