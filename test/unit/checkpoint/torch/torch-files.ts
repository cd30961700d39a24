import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Checkpoint } from '../../../../src/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../../src/checkpoint/open.ts';
import type { Tensor } from '../../../../src/checkpoint/tensor.ts';
import type { MlfsError } from '../../../../src/errors.ts';
import { buildZip, type EntryPlan } from '../../../hostile/zip-builder.ts';
import { assertExplained } from '../../../support/clean-text.ts';
import { temporaryDirectory } from '../../../support/tmp.ts';
import { assemble, int, type Part, text, u8 } from '../pickle/assembler.ts';

export async function open(t: TestContext, bytes: Uint8Array, name = 'm.pt'): Promise<Checkpoint> {
  const path = join(await temporaryDirectory(t), name);
  await writeFile(path, bytes);
  const checkpoint = await openCheckpoint(path);
  t.after(() => checkpoint.close());
  return checkpoint;
}

export async function refusal(t: TestContext, bytes: Uint8Array, name?: string): Promise<MlfsError> {
  try {
    await open(t, bytes, name);
  } catch (cause) {
    assertExplained(cause);
    assert.equal(cause.exitCode, 3);
    return cause;
  }
  assert.fail('it was opened');
}

export function pickle(...parts: readonly Part[]): Buffer {
  return assemble('PROTO', u8(2), ...parts, 'STOP');
}

export function torchZip(
  root: Buffer,
  storages: Record<string, Uint8Array>,
  more: readonly EntryPlan[] = [],
): Buffer {
  const data = Object.entries(storages).map(([key, content]) => ({ name: `m/data/${key}`, content }));
  return buildZip([
    { name: 'm/data.pkl', content: root },
    ...data,
    ...more,
    { name: 'm/version', content: Buffer.from('3\n') },
  ]);
}

/** A dict of one tensor under `w`. */
export function oneTensor(made: Buffer): Buffer {
  return pickle('EMPTY_DICT', text('w'), made, 'SETITEM');
}

export function onlyTensor(checkpoint: Checkpoint): Tensor {
  assert.equal(checkpoint.tensors.length, 1);
  return checkpoint.tensors[0]?.tensor as Tensor;
}

export const count = (value: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
};

/** torch's container before 1.6, with `version` where 1001 belongs. */
export function legacy(
  root: Buffer,
  keys: readonly string[],
  storages: readonly Buffer[],
  version = 1001,
): Buffer {
  const magic = assemble('LONG1', u8(10), Buffer.from('6cfc9c46f9206aa85019', 'hex'));
  return Buffer.concat([
    pickle(magic),
    pickle(int(version)),
    pickle('EMPTY_DICT', text('little_endian'), 'NEWTRUE', 'SETITEM'),
    root,
    pickle('EMPTY_LIST', 'MARK', ...keys.map(text), 'APPENDS'),
    ...storages,
  ]);
}

export const floats = (numel: number) => Buffer.concat([count(numel), Buffer.alloc(numel * 4, 7)]);
