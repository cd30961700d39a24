import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Driver } from '../../../bench/drivers/driver.ts';
import { measureWorkload } from '../../../bench/schedule.ts';
import type { Subject } from '../../../bench/subject.ts';
import type { Workload } from '../../../bench/workloads/workload.ts';

const SUBJECT: Subject = {
  path: '/model.pt',
  size: 1,
  tensor: { offset: 0, length: 1, entry: 'model/data/0', mountPath: ['model', 'weight.bin'] },
};
const OPTIONS = {
  rounds: 2,
  scale: { randomSeconds: 1, mappedBytes: 1, randomWrites: 1 },
  onProgress: () => {},
};

function driver(name: string): Driver {
  return {
    name,
    about: name,
    missing: () => undefined,
    open: () => Promise.reject(new Error('nobody opens it')),
  };
}

/** Its figure is how many samples of all drivers were taken before. */
function counting(more: Partial<Workload> = {}): { workload: Workload; order: string[] } {
  const order: string[] = [];
  const workload: Workload = {
    name: 'counting',
    about: 'counts',
    subject: 'large',
    metrics: [{ key: 'at', title: 'at', unit: 's', better: 'lower' }],
    appliesTo: () => true,
    measure: async ({ name }) => ({ at: order.push(name) }),
    ...more,
  };
  return { workload, order };
}

test('drivers take turns, and the first round is not counted', async () => {
  const { workload, order } = counting();
  const rows = await measureWorkload(workload, [driver('a'), driver('b')], SUBJECT, OPTIONS);
  assert.deepEqual(order, ['a', 'b', 'a', 'b', 'a', 'b']);
  assert.deepEqual(
    rows.map((row) => row.summary?.samples),
    [
      [3, 5],
      [4, 6],
    ],
  );
});

test('a workload of few rounds has no warm-up: each of them counts', async () => {
  const { workload, order } = counting({ mostRounds: 1 });
  const rows = await measureWorkload(workload, [driver('a'), driver('b')], SUBJECT, OPTIONS);
  assert.deepEqual(order, ['a', 'b']);
  assert.deepEqual(
    rows.map((row) => row.summary?.samples),
    [[1], [2]],
  );
});

test('a driver whose program is not here is not measured, and its row says so', async () => {
  const missing = ({ name }: Driver) => (name === 'a' ? 'not here: numpy' : undefined);
  const { workload, order } = counting({ missing });
  const [lacking, measured] = await measureWorkload(workload, [driver('a'), driver('b')], SUBJECT, OPTIONS);
  assert.deepEqual(order, ['b', 'b', 'b']);
  assert.equal(lacking?.reason, 'not here: numpy');
  assert.equal(lacking?.summary, undefined);
  assert.deepEqual(measured?.summary?.samples, [2, 3]);
});

test('a driver that failed is left out from then on, with its reason', async () => {
  const order: string[] = [];
  const measure = async ({ name }: Driver) => {
    order.push(name);
    if (name === 'a') throw new Error('no such disk');
    return { at: 1 };
  };
  const { workload } = counting({ measure });
  const [failed, fine] = await measureWorkload(workload, [driver('a'), driver('b')], SUBJECT, OPTIONS);
  assert.deepEqual(order, ['a', 'b', 'b', 'b']);
  assert.equal(failed?.reason, 'failed: no such disk');
  assert.equal(failed?.summary, undefined);
  assert.deepEqual(fine?.summary?.samples, [1, 1]);
});
