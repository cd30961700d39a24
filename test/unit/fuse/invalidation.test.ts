import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Invalidation } from '../../../src/fuse/filesystem.ts';
import { Invalidations } from '../../../src/fuse/invalidation.ts';

/**
 * The kernel as far as invalidations go: they are carried out one after the other, and one waits for the pages of its inode, which a WRITE
 * locks from its arrival to its answer.
 */
class PageLocks {
  readonly #queue: { readonly nodeids: readonly number[]; readonly done: () => void }[] = [];
  readonly #locked = new Map<number, number>();

  readonly notifier = {
    invalidate: (invalidations: readonly Invalidation[]) =>
      new Promise<void>((done) => {
        const nodeids = invalidations.map((one) => (one.kind === 'name' ? 0 : one.nodeid));
        this.#queue.push({ nodeids, done });
        this.#advance();
      }),
  };

  lock(nodeid: number): void {
    this.#locked.set(nodeid, (this.#locked.get(nodeid) ?? 0) + 1);
  }

  unlock(nodeid: number): void {
    this.#locked.set(nodeid, (this.#locked.get(nodeid) ?? 0) - 1);
    this.#advance();
  }

  #advance(): void {
    for (;;) {
      const first = this.#queue[0];
      if (first === undefined || first.nodeids.some((nodeid) => (this.#locked.get(nodeid) ?? 0) > 0)) return;
      this.#queue.shift();
      first.done();
    }
  }
}

function setUp() {
  const warnings: string[] = [];
  const pages = new PageLocks();
  const invalidations = new Invalidations((message) => warnings.push(message));
  invalidations.connect(pages.notifier);
  const answered: string[] = [];
  /** A WRITE to `nodeid`, which changes bytes that the others show, too. `update` is what it does before it knows that. */
  const write = async (
    name: string,
    nodeid: number,
    others: readonly number[],
    update = () => setImmediate(),
  ) => {
    pages.lock(nodeid);
    await update();
    await invalidations.settleWrite(nodeid, invalidations.send(others.map(pagesOf)));
    pages.unlock(nodeid);
    answered.push(name);
  };
  return { warnings, pages, invalidations, write, answered };
}

function pagesOf(nodeid: number): Invalidation {
  return { kind: 'pages', nodeid, offset: 0, length: 0 };
}

/** Long enough for everything that is not stuck. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await setImmediate();
}

test('a write waits until the others have let go', async () => {
  const { invalidations, answered, write, pages } = setUp();
  // A READ of 2 holds its pages for a while.
  pages.lock(2);
  const written = write('one', 1, [2]);
  await turns();
  assert.deepEqual(answered, []);
  pages.unlock(2);
  await written;
  assert.deepEqual(answered, ['one']);
  await invalidations.settle(invalidations.send([pagesOf(2)]));
});

test('two writes to files that show each other both end', async () => {
  const { answered, write, warnings } = setUp();
  await Promise.all([write('one', 1, [2]), write('other', 2, [1])]);
  assert.deepEqual(answered.sort(), ['one', 'other']);
  assert.deepEqual(warnings, []);
});

test('a write whose file is about to be invalidated waits for nothing', async () => {
  const { answered, write, warnings } = setUp();
  let go = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  // 1 waits for the invalidation of 2, which waits for the write to 2 that comes after it and changes 3.
  const one = write('one', 1, [2]);
  const two = write('two', 2, [3], () => gate);
  await turns();
  go();
  await Promise.all([one, two]);
  assert.deepEqual(answered.length, 2);
  assert.deepEqual(warnings, []);
});

test('a ring of files that show each other, written by many at a time, never stands still', async () => {
  const { answered, write, warnings } = setUp();
  const files = 5;
  // A fixed sequence of pseudo-random numbers: the same interleavings each time.
  let state = 12345;
  const dice = (sides: number) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor(state / 65536) % sides;
  };
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    for (let turn = 0; turn < 100; turn++) {
      const own = dice(files);
      const others = Array.from({ length: 1 + dice(3) }, () => (own + 1 + dice(files - 1)) % files);
      const pauses = dice(4);
      await write(`${writer}.${turn}`, own, others, async () => {
        for (let pause = 0; pause < pauses; pause++) await setImmediate();
      });
    }
  });
  await Promise.all(writers);
  assert.equal(answered.length, 800);
  assert.deepEqual(warnings, [], 'nobody ran out of patience');
});

test('a replacement waits for its own file', async () => {
  const { invalidations, pages } = setUp();
  pages.lock(1);
  let settled = false;
  const replaced = invalidations.settle(invalidations.send([pagesOf(1)])).then(() => {
    settled = true;
  });
  await turns();
  assert.equal(settled, false);
  pages.unlock(1);
  await replaced;
});

test('without a notifier nothing is sent and nothing is waited for', async () => {
  const invalidations = new Invalidations(() => assert.fail('no warnings'));
  assert.equal(invalidations.connected, false);
  await invalidations.settleWrite(1, invalidations.send([pagesOf(2)]));
});

test('a notifier that fails is a line in the log and no failure of the write', async () => {
  const warnings: string[] = [];
  const invalidations = new Invalidations((message) => warnings.push(message));
  invalidations.connect({ invalidate: () => Promise.reject(new Error('gone')) });
  await invalidations.settleWrite(1, invalidations.send([pagesOf(2)]));
  assert.match(warnings.join(), /gone/);
});
