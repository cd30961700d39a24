import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.ts';
import type { ModelTensor } from '../../../src/checkpoint/model.ts';
import {
  PyBytes,
  PyDict,
  PyFloat,
  PyGlobal,
  PyObject,
  PyTuple,
  type Value,
} from '../../../src/checkpoint/pickle/values.ts';
import { StatisticsCache } from '../../../src/numbers/statistics-cache.ts';
import type { Image } from '../../../src/storage/image.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { InodeTable } from '../../../src/tree/inode-table.ts';
import { addVizRoom, eventTime } from '../../../src/tree/viz-room.ts';
import { requires } from '../../support/requires.ts';
import { paths, storage, tensor } from './tree-fixtures.ts';

const IMAGE = {
  base: { fingerprint: { mtimeNs: 1_700_000_000_250_000_000n } },
  size: 10,
  onChange: () => undefined,
} as unknown as Image;

function root(entries: Record<string, Value>): PyDict {
  const dict = new PyDict();
  for (const [key, value] of Object.entries(entries)) dict.set(key, value);
  return dict;
}

function room(tensors: readonly ModelTensor[]): string[] {
  const table = new InodeTable(0);
  addVizRoom(table, {
    checkpoint: { image: IMAGE, root: null } as unknown as Checkpoint,
    tensors,
    statistics: new StatisticsCache(),
    cache: new RenderedPages(1 << 20),
  });
  return paths(table.root);
}

test('step and time come from the checkpoint', () => {
  const at = (value: Value) => eventTime({ root: value, image: IMAGE });
  assert.deepEqual(at(root({ epoch: 7, global_step: 1200 })), { wallTime: 1_700_000_000.25, step: 1200 });
  assert.equal(at(root({ epoch: 7 })).step, 7);
  assert.equal(at(root({ step: new PyFloat(40) })).step, 40);
  assert.equal(at(root({ step: -1, epoch: 3 })).step, 3, 'a negative step is none');
  assert.equal(at(root({ step: 'last' })).step, 0);
  assert.equal(at(null).step, 0);
  const bytes = new PyBytes(Buffer.from(BigInt64Array.of(100n).buffer));
  const dtype = new PyObject(new PyGlobal('numpy', 'dtype'), new PyTuple(['i8', false, true]));
  const scalar = new PyObject(new PyGlobal('numpy.core.multiarray', 'scalar'), new PyTuple([dtype, bytes]));
  assert.equal(at(root({ step: scalar, epoch: 3 })).step, 100, 'of NumPy');
});

test('the run is one file that TensorBoard looks for', requires('addon'), () => {
  const value = { name: 'w', tensor: tensor(storage('0', 16), [4]), parameter: true };
  assert.deepEqual(room([value]), ['viz/', 'viz/events.out.tfevents.1700000000.mlfs']);
});

test('without a tensor that has numbers there is no room', () => {
  const empty = { name: 'none', tensor: tensor(storage('0', 0), [0]), parameter: true };
  const absent = { ...storage('1', 16), bytes: { kind: 'absent', reason: 'meta' } as const };
  const packed = tensor(storage('2', 16), [4], { dtype: 'bits2x4' });
  assert.deepEqual(
    room([
      empty,
      { name: 'meta', tensor: tensor(absent, [4]), parameter: true },
      { name: 'packed', tensor: packed, parameter: false },
    ]),
    [],
  );
});
