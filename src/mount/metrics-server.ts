import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MlfsError } from '../errors.ts';
import { quoteName } from '../visible-text.ts';

/** /metrics over HTTP, for a Prometheus that scrapes. */
export interface MetricsServer {
  /** `http://127.0.0.1:9464/metrics` */
  readonly url: string;
  close(): Promise<void>;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

const LOOPBACK = '127.0.0.1';
/** Prometheus' text format. */
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** `9464`, `127.0.0.1:9464`, `[::1]:9464`; without a host the loopback. Port 0 takes a free one. Throws ERR_MLFS_USAGE. */
export function parseListenAddress(text: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:(?:\[([^\]]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65535) {
    throw new MlfsError('ERR_MLFS_USAGE', `${quoteName(text)} is no address to listen on`, {
      advice: 'a port, or HOST:PORT such as 127.0.0.1:9464',
    });
  }
  return { host: bracketed ?? (plain === undefined || plain === '' ? LOOPBACK : plain), port };
}

/**
 * Answers GET /metrics until it is closed. Throws ERR_MLFS_BUSY when somebody else listens there, ERR_MLFS_USAGE when nobody can. What goes
 * wrong later is told to `warn`: the mount does not end for it.
 */
export async function serveMetrics(
  { host, port }: ListenAddress,
  render: () => string,
  warn: (message: string) => void,
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    if (path !== '/metrics') return refuse(response, 404, 'the metrics are at /metrics');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      return refuse(response, 405, 'the metrics are only read');
    }
    let text: string;
    try {
      text = render();
    } catch (cause) {
      warn(`the metrics could not be told: ${cause}`);
      return refuse(response, 500, 'the metrics could not be told; the log says why');
    }
    response.setHeader('Content-Type', CONTENT_TYPE);
    response.end(request.method === 'HEAD' ? undefined : text);
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const taken = code === 'EADDRINUSE';
    throw new MlfsError(
      taken ? 'ERR_MLFS_BUSY' : 'ERR_MLFS_USAGE',
      taken ? `${host}:${port}: another program listens there` : `${host}:${port}: ${message}`,
      { cause, advice: 'port 0 takes a free one, and it is printed' },
    );
  }
  // No descriptor left for another connection, say.
  server.on('error', (cause) => warn(`the metrics' address: ${cause.message}`));
  const { address, port: own, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${own}/metrics`,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function refuse(response: ServerResponse, status: number, why: string): void {
  response.statusCode = status;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(`${why}\n`);
}
