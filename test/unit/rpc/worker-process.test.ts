import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerProcess } from '../../../src/rpc/worker-process.ts';

const REQUEST = { id: '1', mount: '/mnt', input: '/mnt/rpc/1/input.npy', output: '/mnt/rpc/1/output.npy' };
const ANSWER = `echo '{"id": "1", "ok": true}'`;

function worker(t: TestContext, script: string) {
  const said: string[] = [];
  const process = new WorkerProcess(`sh -c '${script.replaceAll("'", `'\\''`)}'`, '/mnt', (line) =>
    said.push(line),
  );
  t.after(() => process.stop());
  return { process, said };
}

test('what a worker prints is handed on line by line, and its answer is taken', async (t) => {
  const { process, said } = worker(t, String.raw`read line; printf 'one\r\n\ntwo\n'; ${ANSWER}; read line`);
  assert.deepEqual(await process.ask(REQUEST), { id: '1', ok: true });
  assert.deepEqual(said, ['one', '', 'two']);
});

test('a line without an end is cut, costs bounded memory, and the answer after it is taken', async (t) => {
  const { process, said } = worker(
    t,
    `read line; head -c 100000000 /dev/zero | tr '\\0' x; echo; ${ANSWER}; read line`,
  );
  const before = globalThis.process.memoryUsage.rss();
  let most = before;
  const answer = process.ask(REQUEST);
  let answered = false;
  const watched = answer.finally(() => {
    answered = true;
  });
  while (!answered) {
    most = Math.max(most, globalThis.process.memoryUsage.rss());
    await sleep(5);
  }
  await watched;
  assert.deepEqual(await answer, { id: '1', ok: true });
  assert.equal(said.length, 1);
  assert.match(said[0] ?? '', /^x{8189}… \(the rest of this line was left out\)$/);
  assert.ok(most - before < 64e6, `${most - before} bytes more`);
});

test('the reason in an answer is cut', async (t) => {
  const { process } = worker(
    t,
    `read line; printf '{"id": "1", "ok": false, "error": "'; head -c 500000 /dev/zero | tr '\\0' e; echo '"}'; read line`,
  );
  const { ok, error = '' } = await process.ask(REQUEST);
  assert.equal(ok, false);
  assert.match(error, /^e{8189}…$/);
});

test('a worker that prints without end is read no faster than its lines are dealt with', async (t) => {
  const { process, said } = worker(t, `read line; yes | head -c 4000000; ${ANSWER}; read line`);
  assert.deepEqual(await process.ask(REQUEST), { id: '1', ok: true });
  assert.equal(said.length, 2_000_000);
});

test('a worker that answers and ends at once has answered, however much it printed before', async (t) => {
  const { process, said } = worker(t, `read line; yes | head -n 20000; ${ANSWER}`);
  assert.deepEqual(await process.ask(REQUEST), { id: '1', ok: true });
  assert.equal(said.length, 20_000);
  assert.match(
    (await process.ask({ ...REQUEST, id: '2' })).error ?? '',
    /^the worker ended with exit code 0$/,
  );
});

test('a worker whose last line has no newline has said it', async (t) => {
  const { process } = worker(t, `read line; printf '{"id": "1", "ok": true}'`);
  assert.deepEqual(await process.ask(REQUEST), { id: '1', ok: true });
});
