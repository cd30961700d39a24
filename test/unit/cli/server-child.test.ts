import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { dropServer, prepareServer, takeServer } from '../../../src/cli/server-child.ts';

function children(): string[] {
  const listed = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8');
  return listed.split(' ').filter((pid) => pid !== '');
}

test('the server that was prepared is the one that is taken, and ends when its parent has nothing for it', async () => {
  prepareServer();
  const [pid] = children();
  const { process: server, errors } = takeServer();
  closeSync(errors);
  assert.equal(`${server.pid}`, pid);
  server.disconnect();
  assert.deepEqual(await once(server, 'exit'), [0, null]);
});

test('a prepared server that is dropped ends', { timeout: 60_000 }, async () => {
  prepareServer();
  prepareServer();
  const [pid, ...more] = children();
  assert.ok(pid !== undefined && more.length === 0);
  dropServer();
  while (existsSync(`/proc/${pid}`)) await sleep(10);
});

test('without preparation a server is started', async () => {
  const { process: server, errors } = takeServer();
  closeSync(errors);
  server.disconnect();
  assert.deepEqual(await once(server, 'exit'), [0, null]);
});
