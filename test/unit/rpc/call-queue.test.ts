import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errno, MlfsError } from '../../../src/errors.ts';
import { Call } from '../../../src/rpc/call.ts';
import { CallQueue, type Lease, MOST_QUEUED } from '../../../src/rpc/call-queue.ts';
import { memoryCallFile } from './memory-call-file.ts';

const newCall = (id: string) => new Call(id, memoryCallFile);
const never = new AbortController().signal;

async function taken(queue: CallQueue): Promise<Lease> {
  const lease = await queue.take(0, never);
  assert.ok(lease !== undefined, 'a call is there');
  return lease;
}

function withErrno(name: string) {
  return (cause: unknown) => cause instanceof MlfsError && cause.errno === name;
}

describe('calls that wait for a worker', () => {
  test('are taken in the order in which they came', async () => {
    const queue = new CallQueue();
    const calls = ['one', 'two', 'three'].map(newCall);
    for (const call of calls) queue.submit(call);
    assert.equal(queue.queued, 3);
    for (const call of calls) assert.equal((await taken(queue)).call, call);
    assert.deepEqual([queue.queued, queue.running], [0, 3]);
  });

  test('are refused when there are too many', () => {
    const queue = new CallQueue();
    for (let number = 0; number < MOST_QUEUED; number++) queue.submit(newCall(String(number)));
    assert.throws(() => queue.submit(newCall('late')), withErrno('EAGAIN'));
  });

  test('are not taken once they are withdrawn', async () => {
    const queue = new CallQueue();
    const [one, two] = [newCall('one'), newCall('two')];
    queue.submit(one);
    queue.submit(two);
    queue.withdraw(one);
    assert.equal((await taken(queue)).call, two);
  });
});

describe('workers that wait for a call', () => {
  test('each get one, and the first to ask gets the first', async () => {
    const queue = new CallQueue();
    const asked = [queue.take(60_000, never), queue.take(60_000, never)];
    const calls = ['one', 'two'].map(newCall);
    for (const call of calls) queue.submit(call);
    assert.deepEqual(
      (await Promise.all(asked)).map((lease) => lease?.call),
      calls,
    );
    assert.equal(queue.queued, 0);
  });

  test('hear that none came in time', async () => {
    const queue = new CallQueue();
    assert.equal(await queue.take(1, never), undefined);
    queue.submit(newCall('late'));
    assert.equal(queue.queued, 1, 'nobody waits for it any more');
  });

  test('are interrupted with the reason, and no call is lost to them', async () => {
    const queue = new CallQueue();
    const interrupt = new AbortController();
    const asked = queue.take(60_000, interrupt.signal);
    interrupt.abort(errno('EINTR', 'the caller was interrupted'));
    await assert.rejects(asked, withErrno('EINTR'));
    await assert.rejects(queue.take(60_000, interrupt.signal), withErrno('EINTR'));
    const call = newCall('one');
    queue.submit(call);
    assert.equal((await taken(queue)).call, call);
  });
});

describe('a call that was taken', () => {
  test('is done with its answer, or failed with the reason', async () => {
    const queue = new CallQueue();
    const [good, bad] = [newCall('good'), newCall('bad')];
    queue.submit(good);
    queue.submit(bad);
    await taken(queue);
    await taken(queue);
    await good.draft.write(0, Buffer.from('answer'));
    queue.answer(good);
    queue.answer(bad, 'no such layer');
    await good.answered(0, never);
    assert.equal(Buffer.from(await good.output.read(0, 100)).toString(), 'answer');
    await assert.rejects(bad.answered(0, never), withErrno('EIO'));
    assert.equal(bad.error, 'no such layer');
    assert.equal(queue.running, 0);
    assert.throws(() => queue.answer(good), withErrno('EINVAL'), 'there is one answer to a call');
  });

  test('is the next one again when its worker leaves, a few times', async () => {
    const queue = new CallQueue();
    const [one, two] = [newCall('one'), newCall('two')];
    queue.submit(one);
    queue.submit(two);
    for (let attempt = 0; attempt < 3; attempt++) {
      const lease = await taken(queue);
      assert.equal(lease.call, one);
      queue.leave(lease);
    }
    await assert.rejects(one.answered(0, never), /3 workers took the call/);
    assert.equal((await taken(queue)).call, two);
  });

  test('and was asked anew meanwhile has no use for the old answer', async () => {
    const queue = new CallQueue();
    const call = newCall('one');
    queue.submit(call);
    const old = await taken(queue);
    await call.reset();
    assert.throws(() => queue.answer(call), withErrno('EINVAL'));
    queue.submit(call);
    queue.leave(old);
    assert.equal(call.state, 'queued', 'who leaves the old one leaves the new one where it is');
    assert.equal((await taken(queue)).call, call);
    queue.answer(call);
    await call.answered(0, never);
  });
});

describe('who waits for an answer', () => {
  test('hears EAGAIN, ETIMEDOUT or the reason of the interrupt', async () => {
    const call = newCall('one');
    await assert.rejects(call.answered(0, never), withErrno('EAGAIN'));
    await assert.rejects(call.answered(1, never), withErrno('ETIMEDOUT'));
    const interrupt = new AbortController();
    const waiting = call.answered(60_000, interrupt.signal);
    interrupt.abort(errno('EINTR', 'the caller was interrupted'));
    await assert.rejects(waiting, withErrno('EINTR'));
  });

  test('hears that the call was withdrawn', async () => {
    const call = newCall('one');
    const waiting = call.answered(60_000, never);
    await call.close();
    await assert.rejects(waiting, /withdrawn/);
  });
});
