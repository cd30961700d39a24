import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { MemoryCgroup } from './memory-cgroup.ts';
import { run } from './run.ts';
import { Server, type TransportName } from './served.ts';
import { temporaryDirectory } from './tmp.ts';

const MiB = 2 ** 20;
/** What a scan may cost the server: its threads' buffers, and the growth of the JavaScript heap. */
const SCAN_COST_BYTES = 64 * MiB;

export interface ScanPlan {
  readonly transport: TransportName;
  readonly scanBytes: number;
  readonly tensors: number;
  /** Of the cgroup of server and reader. */
  readonly limitBytes: number;
  readonly timeoutMs?: number;
}

/** Reads a whole checkpoint through its mount, with server and reader together under a memory limit. */
export async function scanUnderLimit(t: TestContext, plan: ScanPlan): Promise<void> {
  const group = await MemoryCgroup.create(plan.limitBytes);
  const server = await Server.start({ launcher: group.launcher });
  t.after(async () => {
    await server.stop();
    await group.remove();
  });
  const checkpoint = join(await temporaryDirectory(t), 'model.pt');
  const tensorBytes = Math.floor(plan.scanBytes / plan.tensors);
  const names = Array.from({ length: plan.tensors }, (_, index) => `layer${index}`);
  await writeTorchZip(checkpoint, {
    tensors: names.map((name) => ({ name, dtype: 'uint8', shape: [tensorBytes], fill: 'sparse-zeros' })),
  });
  const { transport, timeoutMs = 60_000 } = plan;
  const { path } = await server.mount(checkpoint, { transport });
  const before = await server.memory();
  const [program, ...args] = group.launcher;
  for (const name of names) {
    const file = join(path, `model/${name}.bin`);
    const copied = await run(program, [...args, 'dd', `if=${file}`, 'bs=1M', 'of=/dev/null'], { timeoutMs });
    assert.equal(copied.code, 0, copied.stderr);
    assert.equal(Number(/^(\d+) bytes/m.exec(copied.stderr)?.[1]), tensorBytes);
  }
  const [after, peak] = [await server.memory(), await server.memory('VmHWM')];
  const mebibytes = (bytes: number) => Math.round(bytes / MiB);
  t.diagnostic(
    `${transport}: ${mebibytes(plan.scanBytes)} MiB scanned under a limit of ${mebibytes(plan.limitBytes)} MiB: ` +
      `server ${mebibytes(before)} MiB before, ${mebibytes(after)} MiB after, ${mebibytes(peak)} MiB at most; ` +
      `the group ${mebibytes(await group.peak())} MiB at most, page cache included`,
  );
  assert.equal(await group.kills(), 0);
  assert.ok(server.alive);
  const allowed = before + SCAN_COST_BYTES;
  assert.ok(peak <= allowed, `${mebibytes(peak)} MiB resident, ${mebibytes(allowed)} MiB allowed`);
}
