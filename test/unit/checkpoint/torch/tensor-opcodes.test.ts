/** What is read in one step is what the machine reads opcode by opcode: values, errors and what is charged. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { PickleLimits } from '../../../../src/checkpoint/pickle/limits.ts';
import { readPickle, type Unpickled } from '../../../../src/checkpoint/pickle/unpickle.ts';
import { PyDict, PyTuple, type Value } from '../../../../src/checkpoint/pickle/values.ts';
import { TorchReconstructors } from '../../../../src/checkpoint/torch/reconstructors.ts';
import { StorageTable } from '../../../../src/checkpoint/torch/storage-table.ts';
import { TensorOpcodes } from '../../../../src/checkpoint/torch/tensor-opcodes.ts';
import { type TensorToWrite, tensorToWrite, writeTorchZip } from '../../../../src/checkpoint/torch/writer.ts';
import { readArchive } from '../../../../src/checkpoint/zip/archive.ts';
import { readEntry } from '../../../../src/checkpoint/zip/read-entry.ts';
import { messageOf } from '../../../../src/errors.ts';
import { FileSource } from '../../../../src/storage/file-source.ts';
import { temporaryDirectory } from '../../../support/tmp.ts';
import { assemble, type Part, u32 } from '../pickle/assembler.ts';

/** How many tensors were read in one step. */
let inOneStep = 0;

function read(bytes: Buffer, how: 'in one step' | 'by opcode', limits?: Partial<PickleLimits>): Unpickled {
  const storages = new StorageTable({ path: 'm.pt' }, 'little', () => ({
    bytes: { kind: 'absent', reason: 'this is a test' },
  }));
  const torch = new TorchReconstructors(storages);
  const opcodes = new TensorOpcodes(storages, torch);
  return readPickle(bytes, {
    path: 'm.pt',
    limits,
    reconstructors: torch.table,
    persistentLoad: (id) => storages.load(id),
    build: (target, state) => torch.build(target, state),
    ...(how === 'by opcode'
      ? {}
      : {
          shortcut: (machine, start) => {
            const isRead = opcodes.read(machine, start);
            if (isRead) inOneStep++;
            return isRead;
          },
        }),
  });
}

function outcome(bytes: Buffer, how: 'in one step' | 'by opcode', limits?: Partial<PickleLimits>): unknown {
  try {
    return read(bytes, how, limits);
  } catch (cause) {
    return messageOf(cause);
  }
}

/** A state dict with tensors of several ranks and classes, two of one storage, and one that occurs twice. */
async function stateDict(t: TestContext): Promise<Buffer> {
  const path = join(await temporaryDirectory(t), 'm.pt');
  const root = new PyDict();
  const shared = tensorToWrite('float32', [4, 4], 'sparse-zeros');
  root.set('first', tensorToWrite('float32', [2, 3], 'sparse-zeros'));
  root.set('scalar', tensorToWrite('float32', [], 'sparse-zeros'));
  root.set('shared', shared);
  const row: TensorToWrite = { ...shared, shape: [4], stride: [1], storageOffset: 4 };
  root.set('row', row);
  root.set('half', tensorToWrite('float16', [300], 'sparse-zeros'));
  root.set('deep', tensorToWrite('float32', [1, 2, 3, 70_000, 1], 'sparse-zeros', { requiresGrad: true }));
  root.set('again', shared);
  await writeTorchZip(path, { root });
  const source = await FileSource.open(path);
  t.after(() => source.close());
  const entry = (await readArchive(source)).entries.find(({ name }) => name.endsWith('data.pkl'));
  return readEntry(source, entry ?? assert.fail(), 1_000_000);
}

/** Puts opcodes before STOP. */
function withMore(pickle: Buffer, ...more: readonly Part[]): Buffer {
  return Buffer.concat([pickle.subarray(0, -1), assemble(...more, 'STOP')]);
}

test('tensors are read in one step, and are what the opcodes make', async (t) => {
  const pickle = await stateDict(t);
  inOneStep = 0;
  assert.deepEqual(read(pickle, 'in one step'), read(pickle, 'by opcode'));
  assert.ok(inOneStep >= 3, `${inOneStep} tensors were read in one step`);
});

test('whatever was memoised can be got, and is one object each time', async (t) => {
  const pickle = await stateDict(t);
  const nothing = outcome(withMore(pickle, 'LONG_BINGET', u32(99), 'TUPLE2'), 'by opcode');
  assert.match(String(nothing), /nothing was remembered under 99/);
  let index = 0;
  for (; ; index++) {
    const got = withMore(pickle, 'LONG_BINGET', u32(index), 'LONG_BINGET', u32(index), 'TUPLE3');
    const expected = outcome(got, 'by opcode');
    const actual = outcome(got, 'in one step');
    assert.deepEqual(actual, expected, `place ${index} of the memo`);
    if (typeof actual === 'string') break;
    const { value } = actual as { value: Value };
    assert.ok(value instanceof PyTuple && value.items[1] === value.items[2]);
  }
  assert.ok(index > 40, `${index} places`);
});

test('a container holds what the memo had when its opcodes stood there, also if the memo has something else now', async (t) => {
  const pickle = await stateDict(t);
  for (let replaced = 0; replaced < 30; replaced++) {
    const put = ['NEWTRUE', 'LONG_BINPUT', u32(replaced), 'POP'] as const;
    for (let index = 0; index < 40; index++) {
      const got = withMore(pickle, ...put, 'LONG_BINGET', u32(index), 'TUPLE2');
      assert.deepEqual(outcome(got, 'in one step'), outcome(got, 'by opcode'), `${replaced}, ${index}`);
    }
  }
});

test('a limit stops both at the same byte', async (t) => {
  const pickle = await stateDict(t);
  for (let steps = 1; steps < 260; steps++) {
    const limits = { steps };
    assert.deepEqual(outcome(pickle, 'in one step', limits), outcome(pickle, 'by opcode', limits));
  }
  for (let memoEntries = 1; memoEntries < 80; memoEntries++) {
    const limits = { memoEntries };
    assert.deepEqual(outcome(pickle, 'in one step', limits), outcome(pickle, 'by opcode', limits));
  }
  const most = 500_000;
  for (let memoryBytes = most; memoryBytes > 0; memoryBytes -= 331) {
    const limits = { memoryBytes };
    assert.deepEqual(outcome(pickle, 'in one step', limits), outcome(pickle, 'by opcode', limits));
  }
});

test('a damaged pickle has the same fault, wherever a byte was changed or it was cut', async (t) => {
  const pickle = await stateDict(t);
  for (let at = 0; at < pickle.length; at++) {
    const cut = pickle.subarray(0, at);
    assert.deepEqual(outcome(cut, 'in one step'), outcome(cut, 'by opcode'), `cut at ${at}`);
    for (const byte of [0x00, 0x28, 0x29, 0x4b, 0x68, 0x74, 0x85, 0x94, 0xff]) {
      const changed = Buffer.from(pickle);
      changed[at] = byte;
      assert.deepEqual(outcome(changed, 'in one step'), outcome(changed, 'by opcode'), `${byte} at ${at}`);
    }
  }
});
