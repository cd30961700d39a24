import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Leases } from '../../../src/activations/leases.ts';

function scene(limit: number) {
  const closed: string[] = [];
  let opened = 0;
  const leases = new Leases<string, string>(limit, (value) => closed.push(value));
  const take = (key: string) => leases.take(key, async () => `${key}${++opened}`);
  return { leases, closed, take };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test('what is kept is opened once', async () => {
  const { take, closed } = scene(2);
  const [one, other] = await Promise.all([take('a'), take('a')]);
  assert.equal(one.value, 'a1');
  assert.equal(other.value, 'a1');
  one.release();
  other.release();
  await settled();
  assert.deepEqual(closed, []);
});

test('the least recently used one goes first', async () => {
  const { take, closed } = scene(2);
  for (const key of ['a', 'b', 'a', 'c']) (await take(key)).release();
  await settled();
  assert.deepEqual(closed, ['b2']);
});

test('nothing is closed under its user', async () => {
  const { take, closed, leases } = scene(1);
  const lease = await take('a');
  (await take('b')).release();
  leases.drop('a');
  await settled();
  assert.deepEqual(closed, []);
  const later = await take('a');
  assert.equal(later.value, 'a3', 'what was dropped is found no more');
  lease.release();
  await settled();
  assert.deepEqual(closed.sort(), ['a1', 'b2']);
});

test('what could not be opened is tried again', async () => {
  const { leases, take } = scene(1);
  await assert.rejects(leases.take('a', () => Promise.reject(new Error('no'))));
  assert.equal((await take('a')).value, 'a1');
});
