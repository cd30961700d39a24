import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backings } from '../../../src/fuse/backings.ts';

const reply = (handle: number, backing?: number) => ({
  handle,
  caching: 'fresh' as const,
  ...(backing === undefined ? {} : { backing }),
});

function scene(answer: (fd: number) => number | undefined) {
  const asked: number[] = [];
  const closed: number[] = [];
  const backings = new Backings({
    openBacking: (fd) => {
      asked.push(fd);
      return answer(fd);
    },
    closeBacking: (id) => closed.push(id),
  });
  return { asked, closed, backings };
}

test('all opens of an inode share what the first one got, until the last is closed', () => {
  const { asked, closed, backings } = scene((fd) => fd + 100);
  assert.equal(backings.opened(5, reply(1, 7)), 107);
  assert.equal(backings.opened(5, reply(2, 8)), 107);
  assert.equal(backings.opened(6, reply(3, 9)), 109);
  backings.released(5, 1);
  assert.deepEqual(closed, []);
  backings.released(5, 2);
  assert.deepEqual(closed, [107]);
  assert.equal(backings.opened(5, reply(4, 10)), 110);
  assert.deepEqual(asked, [7, 9, 10]);
});

test('an inode that the kernel did not take is not offered again while it is open', () => {
  let takes = false;
  const { backings, closed } = scene((fd) => (takes ? fd : undefined));
  assert.equal(backings.opened(5, reply(1, 7)), undefined);
  takes = true;
  assert.equal(backings.opened(5, reply(2, 8)), undefined);
  backings.released(5, 1);
  backings.released(5, 2);
  assert.deepEqual(closed, []);
  assert.equal(backings.opened(5, reply(3, 9)), 9);
  assert.deepEqual(backings.counters(), { passthrough_opens_total: 1, plain_backed_opens_total: 2 });
});

test('a handle without a file behind it changes nothing', () => {
  const { backings, closed, asked } = scene((fd) => fd);
  assert.equal(backings.opened(5, reply(1)), undefined);
  assert.equal(backings.opened(5, reply(2, 8)), 8);
  backings.released(5, 1);
  assert.deepEqual(closed, []);
  backings.released(5, 2);
  backings.released(5, 2);
  assert.deepEqual(closed, [8]);
  assert.deepEqual(asked, [8]);
});

test('opens that share a handle are counted one by one', () => {
  const { backings, closed, asked } = scene((fd) => fd);
  assert.equal(backings.opened(5, reply(0, 7)), 7);
  assert.equal(backings.opened(5, reply(0, 8)), 7);
  backings.released(5, 0);
  assert.deepEqual(closed, []);
  assert.equal(backings.opened(5, reply(0, 9)), 7);
  backings.released(5, 0);
  backings.released(5, 0);
  assert.deepEqual([asked, closed], [[7], [7]]);
});
