import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FairGate } from '../../../src/fuse/fair-gate.ts';

const { signal } = new AbortController();
const as = (uid: number) => ({ uid, signal });

/** Tasks that go on until they are told to end. */
function tasks(gate: FairGate) {
  const running: { readonly name: string; readonly end: () => void }[] = [];
  const start = (uid: number, name: string) =>
    gate.run(
      as(uid),
      () =>
        new Promise<string>((resolve) => {
          running.push({ name, end: () => resolve(name) });
        }),
    );
  const names = () => running.map(({ name }) => name);
  const end = async (name: string) => {
    const index = names().indexOf(name);
    running.splice(index, 1)[0]?.end();
    await nextTurn();
  };
  return { start, names, end };
}

test('a user has half of the places, and another one finds the rest', async () => {
  const { start, names, end } = tasks(new FairGate(4));
  const all = ['a1', 'a2', 'a3', 'a4'].map((name) => start(1, name));
  await nextTurn();
  assert.deepEqual(names(), ['a1', 'a2']);
  all.push(...['b1', 'b2', 'b3'].map((name) => start(2, name)));
  await nextTurn();
  assert.deepEqual(names(), ['a1', 'a2', 'b1', 'b2']);
  for (const name of ['b1', 'b2', 'a1', 'a2', 'b3', 'a3', 'a4']) await end(name);
  assert.deepEqual(await Promise.all(all), ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'b3']);
});

test('users take turns, however many things one of them asks for', async () => {
  const { start, names, end } = tasks(new FairGate(2));
  const all = Array.from({ length: 100 }, (_, index) => start(1, `a${index}`));
  all.push(start(2, 'b0'), start(3, 'c0'), start(4, 'd0'));
  await nextTurn();
  assert.deepEqual(names(), ['a0', 'b0']);
  await end('b0');
  assert.deepEqual(names(), ['a0', 'c0']);
  await end('c0');
  await end('a0');
  assert.deepEqual(names().sort(), ['a1', 'd0']);
  await end('d0');
  for (let index = 1; index < 100; index++) await end(`a${index}`);
  assert.equal((await Promise.all(all)).length, 103);
});

test('who was interrupted while waiting does not take his turn, and a task that fails gives its place back', async () => {
  const gate = new FairGate(2);
  const { start, end, names } = tasks(gate);
  const first = start(1, 'first');
  const interrupt = new AbortController();
  let ran = false;
  const waiting = gate.run({ uid: 1, signal: interrupt.signal }, async () => {
    ran = true;
  });
  const refusal = assert.rejects(waiting, /interrupted/);
  interrupt.abort(new Error('interrupted'));
  await nextTurn();
  await end('first');
  await first;
  await refusal;
  assert.equal(ran, false);
  await assert.rejects(
    gate.run(as(1), () => Promise.reject(new Error('failed'))),
    /failed/,
  );
  const last = start(1, 'last');
  await nextTurn();
  assert.deepEqual(names(), ['last']);
  await end('last');
  await last;
});

test('who is interrupted while waiting hears so at once, and does not stay in the queue', async () => {
  const gate = new FairGate(2);
  const { start, end, names } = tasks(gate);
  const first = start(1, 'first');
  const interrupt = new AbortController();
  const waiting = Array.from({ length: 3 }, () =>
    gate.run({ uid: 1, signal: interrupt.signal }, async () => 'late'),
  );
  interrupt.abort(new Error('interrupted'));
  for (const one of waiting) await assert.rejects(one, /interrupted/);
  assert.deepEqual(names(), ['first'], 'the place is still taken');
  await assert.rejects(
    gate.run({ uid: 1, signal: interrupt.signal }, async () => 'later still'),
    /interrupted/,
  );
  const next = start(1, 'next');
  await end('first');
  assert.deepEqual(names(), ['next']);
  await end('next');
  assert.deepEqual(await Promise.all([first, next]), ['first', 'next']);
});
