import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MlfsError } from '../../../src/errors.ts';
import { MOST_WORKER_FILES, Workers } from '../../../src/rpc/workers.ts';

const NOTHING = Buffer.alloc(0);

function workers(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const said: boolean[] = [];
  const made = new Workers({
    firstNodeid: 1000,
    patienceMs: 3000,
    said: (present) => said.push(present),
  });
  return { workers: made, said };
}

test('a worker that takes call after call is one and the same, however long it computes', (t) => {
  const { workers: all, said } = workers(t);
  for (let take = 0; take < 5; take++) {
    const file = all.open(`gpu0.${take}`, NOTHING);
    t.mock.timers.tick(60_000);
    all.close(file);
    t.mock.timers.tick(2000);
    assert.equal(all.count, 1);
  }
  assert.deepEqual(said, [true]);
  t.mock.timers.tick(1000);
  assert.equal(all.count, 0);
  assert.deepEqual(said, [true, false]);
});

test('two workers are counted, and it is said once that somebody serves and that nobody does any more', (t) => {
  const { workers: all, said } = workers(t);
  const files = ['one.1', 'two.1', 'two.2'].map((name) => all.open(name, NOTHING));
  assert.equal(all.count, 2);
  for (const file of files) all.close(file);
  t.mock.timers.tick(3000);
  assert.equal(all.count, 0);
  assert.deepEqual(said, [true, false]);
  all.close(all.open('one.2', NOTHING));
  all.end();
  t.mock.timers.tick(60_000);
  assert.deepEqual(said, [true, false, true], 'nothing is said after the end');
});

test('a file is there while somebody has it open, under a nodeid of its own', (t) => {
  const { workers: all } = workers(t);
  const [one, two] = [all.open('one', NOTHING), all.open('two', NOTHING)];
  assert.notEqual(one.nodeid, two.nodeid);
  assert.equal(all.open('one', NOTHING), one);
  all.close(one);
  assert.equal(all.named('one'), one);
  assert.equal(all.at(one.nodeid), one);
  all.close(one);
  assert.deepEqual([all.named('one'), all.at(one.nodeid)], [undefined, undefined]);
});

test('there are at most so many files at a time, and nodeids are used again', (t) => {
  const { workers: all } = workers(t);
  const files = Array.from({ length: MOST_WORKER_FILES }, (_, number) => all.open(`a.${number}`, NOTHING));
  assert.equal(new Set(files.map(({ nodeid }) => nodeid)).size, MOST_WORKER_FILES);
  assert.ok(files.every(({ nodeid }) => nodeid >= 1000 && nodeid < 1000 + MOST_WORKER_FILES));
  assert.throws(
    () => all.open('late', NOTHING),
    (cause) => cause instanceof MlfsError && cause.errno === 'ENOSPC',
  );
  const [gone] = files;
  assert.ok(gone !== undefined);
  all.close(gone);
  assert.equal(all.open('late', NOTHING).nodeid, gone.nodeid);
});

test('names that every object has are names of workers', (t) => {
  const { workers: all } = workers(t);
  for (const name of ['__proto__', 'constructor', 'toString.1']) {
    assert.equal(all.named(name), undefined);
    all.open(name, NOTHING);
  }
  assert.equal(all.count, 3);
});
