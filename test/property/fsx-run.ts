import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PyDict } from '../../src/checkpoint/pickle/values.ts';
import type { StorageToWrite, TensorToWrite } from '../../src/checkpoint/torch/writer.ts';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { output, run } from '../support/run.ts';
import type { Server, TransportName } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const FSX = fileURLToPath(new URL('./fsx.py', import.meta.url));

/** Several chunks of the overlay, and no multiple of a page. */
const SIZE = 3 * 2 ** 20 + 1234;

/** Files over one storage: where each begins and how long it is. */
const FILES = [
  { name: 'whole', offset: 0, size: SIZE },
  { name: 'middle', offset: 1_000_001, size: 1_200_003 },
  { name: 'end', offset: SIZE - 70_000, size: 70_000 },
];

export interface FsxPlan {
  readonly transport: TransportName;
  readonly mmap: boolean;
  /** Whether three files overlap in one storage, or there is one alone. */
  readonly overlapping: boolean;
  readonly operations: number;
  readonly timeoutMs?: number;
}

/** `MLFS_SEED` repeats a run that failed. */
export function seedOfRun(): number {
  return Number(process.env.MLFS_SEED ?? randomInt(2 ** 31));
}

/** Random operations on tensors of a mount, then a commit: what the buffer holds, the committed file holds. */
export async function fsx(t: TestContext, server: Server, plan: FsxPlan): Promise<void> {
  const seed = seedOfRun();
  t.diagnostic(`${t.name}: MLFS_SEED=${seed}`);
  const storage: StorageToWrite = {
    type: 'storage',
    dtype: 'uint8',
    nbytes: SIZE,
    fill: Buffer.alloc(SIZE, 0x5a),
  };
  const files = plan.overlapping ? FILES : FILES.slice(0, 1);
  const root = new PyDict();
  for (const { name, offset, size } of files) {
    const view: TensorToWrite = {
      type: 'tensor',
      dtype: 'uint8',
      shape: [size],
      storageOffset: offset,
      storage,
    };
    root.set(name, view);
  }
  const mount = await WritableMount.create(t, server, plan.transport, { root });
  const keep = join(mount.folder, 'buffer');
  const orders = {
    files: files.map(({ name, ...range }) => ({ path: mount.model(`${name}.bin`), ...range })),
    size: SIZE,
    seed,
    operations: plan.operations,
    mmap: plan.mmap,
    coherent: plan.transport === 'kernel',
    keep,
  };
  const ended = await run(DEBIAN_PYTHON, [FSX, JSON.stringify(orders)], {
    timeoutMs: plan.timeoutMs ?? 240_000,
  });
  assert.equal(ended.code, 0, ended.stderr || `ended by ${ended.signal}`);

  const buffer = await readFile(keep);
  const next = await mount.again(plan.transport);
  assert.ok(buffer.equals(await readFile(next.model('whole.bin'))), 'the next mount has what was written');
  await next.control('commit');
  await server.unmount(next.path);
  await output('unzip', ['-tqq', mount.checkpoint]);
  const saved = await readFile(mount.checkpoint);
  assert.ok(saved.includes(buffer), 'the committed file has what was written');
}
