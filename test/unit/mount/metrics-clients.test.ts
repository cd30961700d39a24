/** The metrics can be asked for by any program of the machine: what such a client may do, and what it may not. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { MOST_CONNECTIONS, serveMetrics } from '../../../src/mount/metrics-server.ts';

async function served(t: TestContext, host = '127.0.0.1') {
  const seen = { rendered: 0 };
  const render = () => `mlfs_rendered_total ${++seen.rendered}\n`;
  const server = await serveMetrics({ host, port: 0 }, render, assert.fail);
  const sockets: Socket[] = [];
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await server.close();
  });
  const port = Number(new URL(server.url).port);
  const client = async (address = '127.0.0.1') => {
    const socket = connect(port, address);
    sockets.push(socket);
    // A connection that the server ends may end in a reset.
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  };
  /** Sends bytes and resolves with everything that comes until the server closes. */
  const said = async (bytes: string, address?: string) => {
    const socket = await client(address);
    socket.write(bytes);
    let text = '';
    socket.on('data', (part) => {
      text += part.toString();
    });
    await once(socket, 'close');
    return text;
  };
  const asked = async (hostHeader: string, address?: string) =>
    (await said(`GET /metrics HTTP/1.1\r\nHost: ${hostHeader}\r\n\r\n`, address)).split('\r\n')[0];
  return { server, seen, client, said, asked, port };
}

const OK = 'HTTP/1.1 200 OK';
const MISDIRECTED = 'HTTP/1.1 421 Misdirected Request';

test('a request for another name than the address or localhost is refused with a sentence', async (t) => {
  const { seen, said, asked, port } = await served(t);
  for (const host of ['127.0.0.1', `127.0.0.1:${port}`, 'localhost', 'LocalHost:1234']) {
    assert.equal(await asked(host), OK, host);
  }
  const rendered = seen.rendered;
  const others = ['evil.example', `evil.example:${port}`, '127.0.0.1.evil.example', 'localhost.evil.example'];
  for (const host of [...others, '10.0.0.1', '[::1]', '0.0.0.0', '', 'a b', '127.0.0.1@evil.example']) {
    assert.equal(await asked(host), MISDIRECTED, host);
  }
  assert.match(await said('GET /metrics HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 421 /);
  assert.match(await said('GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n'), /--metrics HOST:PORT\n$/);
  assert.equal(seen.rendered, rendered, 'nothing was rendered for them');
});

test('on every address of the machine the one that was connected to is answered, and the name that was given', async (t) => {
  const { asked } = await served(t, '0.0.0.0');
  assert.equal(await asked('127.0.0.1', '127.0.0.1'), OK);
  assert.equal(await asked('127.0.0.2', '127.0.0.2'), OK);
  assert.equal(await asked('127.0.0.1', '127.0.0.2'), MISDIRECTED);
  assert.equal(await asked('evil.example', '127.0.0.1'), MISDIRECTED);
});

test('connections that are held open are few, and do not keep the next client out', async (t) => {
  const { server, client } = await served(t);
  const slow: Socket[] = [];
  for (let i = 0; i < 5 * MOST_CONNECTIONS; i++) {
    const socket = await client();
    socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-A: ');
    slow.push(socket);
    if (i % MOST_CONNECTIONS === 0) assert.equal((await fetch(server.url)).status, 200);
  }
  assert.equal((await fetch(server.url)).status, 200);
  await Promise.all(slow.slice(0, 4 * MOST_CONNECTIONS - 1).map((one) => one.closed || once(one, 'close')));
  assert.ok(slow.filter(({ closed }) => !closed).length <= MOST_CONNECTIONS);
});

test('a client that does not finish its headers is let go', async (t) => {
  const { said, seen } = await served(t);
  assert.match(await said('GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-A: '), /^HTTP\/1\.1 408 /);
  assert.equal(seen.rendered, 0);
});

test('headers are short, and one request a connection is answered', async (t) => {
  const { said, seen } = await served(t);
  const long = `GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n`;
  assert.match(await said(long), /^HTTP\/1\.1 431 /);
  assert.equal(seen.rendered, 0);
  await said('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1000));
  assert.equal(seen.rendered, 1);
});
