import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MlfsError } from '../../../src/errors.ts';
import type { BaseState } from '../../../src/mount/base-watch.ts';
import { Follow } from '../../../src/mount/follow.ts';
import { Log } from '../../../src/telemetry/log.ts';

/** A checkpoint file as the watch sees it; each identity is a state of the file. */
function followed(t: TestContext, outcome: (identity: string) => 'taken' | MlfsError) {
  const file = { served: 'old', now: 'old', reason: 'replaced' as 'replaced' | 'changed' };
  const tried: string[] = [];
  const lines: string[] = [];
  const state = async (): Promise<BaseState> =>
    file.now === file.served ? { stale: false } : { stale: true, reason: file.reason };
  let idle: () => void = () => undefined;
  // What is followed does not keep a process alive.
  const alive = setInterval(() => undefined, 1000);
  const follow = new Follow({
    state,
    identify: async () => file.now,
    reload: async () => {
      const identity = file.now;
      tried.push(identity);
      const result = outcome(identity);
      if (result !== 'taken') throw result;
      file.served = identity;
    },
    log: new Log({ sink: (line) => lines.push(line) }),
    quietMs: 5,
    onIdle: () => idle(),
  });
  t.after(() => {
    follow.stop();
    clearInterval(alive);
  });
  const look = (nudge: () => void = () => follow.look()) =>
    new Promise<void>((resolve) => {
      idle = resolve;
      nudge();
    });
  return { file, follow, tried, lines, look };
}

test('a file renamed over the checkpoint is taken at once', async (t) => {
  const { file, tried, look } = followed(t, () => 'taken');
  await look();
  assert.deepEqual(tried, [], 'nothing happened yet');
  file.now = 'new';
  await look();
  assert.deepEqual(tried, ['new']);
  assert.equal(file.served, 'new');
});

test('a file that is rewritten in place is taken when it has been quiet', async (t) => {
  const { file, tried, look } = followed(t, () => 'taken');
  file.reason = 'changed';
  file.now = 'half';
  const looked = look();
  // Before the quiet time is over somebody writes on.
  file.now = 'whole';
  await looked;
  assert.deepEqual(tried, ['whole']);
});

test('a file that cannot be opened is said once, and tried again when it changes', async (t) => {
  const { file, tried, lines, look } = followed(t, (identity) =>
    identity === 'whole' ? 'taken' : new MlfsError('ERR_MLFS_ZIP', 'model.pt: is no zip'),
  );
  file.now = 'half';
  await look();
  await look();
  await look();
  assert.deepEqual(tried, ['half'], 'not again while it is the same');
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /the old one stays: model\.pt: is no zip/);
  file.now = 'whole';
  await look();
  assert.equal(file.served, 'whole');
});

test('edits that are in the way hold it up until they are gone', async (t) => {
  let dirty = true;
  const { file, follow, tried, lines, look } = followed(t, () =>
    dirty ? new MlfsError('ERR_MLFS_BUSY', '4 bytes of edits', { advice: 'mlfs discard' }) : 'taken',
  );
  file.now = 'new';
  await look();
  await look();
  assert.equal(tried.length, 1);
  assert.match(lines[0] ?? '', /the new file is not shown yet: 4 bytes of edits.*mlfs discard/);
  dirty = false;
  await look(() => follow.retry());
  assert.equal(file.served, 'new');
});

test('after the end nothing is followed any more', async (t) => {
  const { file, follow, tried } = followed(t, () => 'taken');
  follow.stop();
  file.now = 'new';
  follow.look();
  await new Promise(setImmediate);
  assert.deepEqual(tried, []);
});

test('after stop nothing is taken, not even what was found before', async (t) => {
  const { file, follow, tried, look } = followed(t, () => 'taken');
  file.now = 'new';
  const looked = look();
  // The file was found stale, and its identity is asked for.
  await Promise.resolve();
  follow.stop();
  await looked;
  assert.deepEqual(tried, []);
});
