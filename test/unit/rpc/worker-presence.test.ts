import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WorkerPresence } from '../../../src/rpc/worker-presence.ts';

test('that somebody serves is said once, and that nobody does when the last has neither asked nor computed', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const said: boolean[] = [];
  let computing = false;
  const presence = new WorkerPresence({
    patienceMs: 3000,
    working: () => computing,
    said: (present) => said.push(present),
  });
  for (let second = 0; second < 5; second++) {
    presence.seen();
    t.mock.timers.tick(1000);
  }
  computing = true;
  t.mock.timers.tick(60_000);
  assert.deepEqual(said, [true]);
  computing = false;
  t.mock.timers.tick(3000);
  assert.deepEqual(said, [true, false]);
  presence.seen();
  presence.end();
  t.mock.timers.tick(60_000);
  assert.deepEqual(said, [true, false, true]);
});
