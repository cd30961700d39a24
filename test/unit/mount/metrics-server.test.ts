import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseListenAddress, serveMetrics } from '../../../src/mount/metrics-server.ts';

test('an address is a port, or a host and a port; the loopback is the default', () => {
  assert.deepEqual(parseListenAddress('9464'), { host: '127.0.0.1', port: 9464 });
  assert.deepEqual(parseListenAddress(':9464'), { host: '127.0.0.1', port: 9464 });
  assert.deepEqual(parseListenAddress('0.0.0.0:0'), { host: '0.0.0.0', port: 0 });
  assert.deepEqual(parseListenAddress('[::1]:9464'), { host: '::1', port: 9464 });
  for (const wrong of ['', 'metrics', '127.0.0.1', '1:2:3', '65536', ':', '127.0.0.1:-1']) {
    assert.throws(() => parseListenAddress(wrong), { code: 'ERR_MLFS_USAGE' }, wrong);
  }
});

test('what cannot be told is a 500 and a line in the log, and the next one is answered', async (t) => {
  const said: string[] = [];
  let fails = true;
  const render = () => {
    if (fails) throw new Error('the cache is gone');
    return 'mlfs_tensors 1\n';
  };
  const server = await serveMetrics({ host: '127.0.0.1', port: 0 }, render, (line) => said.push(line));
  t.after(() => server.close());
  assert.equal((await fetch(server.url)).status, 500);
  assert.deepEqual(said, ['the metrics could not be written: Error: the cache is gone']);
  fails = false;
  assert.equal((await fetch(server.url)).status, 200);
});

test('GET /metrics is answered anew each time, and nothing else is', async (t) => {
  let count = 0;
  const server = await serveMetrics(
    { host: '127.0.0.1', port: 0 },
    () => `mlfs_asked_total ${++count}\n`,
    assert.fail,
  );
  let open = true;
  t.after(() => (open ? server.close() : undefined));
  const first = await fetch(server.url);
  assert.match(first.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.equal(await first.text(), 'mlfs_asked_total 1\n');
  assert.equal(await (await fetch(`${server.url}?x=1`)).text(), 'mlfs_asked_total 2\n');
  assert.equal((await fetch(server.url.replace('metrics', 'other'))).status, 404);
  const posted = await fetch(server.url, { method: 'POST', body: 'x' });
  assert.deepEqual([posted.status, posted.headers.get('allow')], [405, 'GET, HEAD']);
  await assert.rejects(
    serveMetrics(parseListenAddress(new URL(server.url).host), () => '', assert.fail),
    { code: 'ERR_MLFS_BUSY' },
  );
  await server.close();
  open = false;
  await assert.rejects(fetch(server.url));
});
