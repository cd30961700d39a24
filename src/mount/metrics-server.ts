import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, isIP, type Socket } from 'node:net';
import { MlfsError } from '../errors.ts';
import { quoteName } from '../visible-text.ts';

/**
 * /metrics over HTTP, for a Prometheus that scrapes.
 *
 * Any process of this machine, and any page in a browser on it, can connect. So the server bounds what a client costs the mount: few
 * connections at a time, the oldest one giving way to a new one; one request a connection; short headers, and little time for each. And it
 * answers only requests that name an address or name that it was given, so that a page whose own name was made to lead here (DNS
 * rebinding) reads nothing.
 */
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

/** Connections that are open at a time. A scrape takes milliseconds, so this many are only ever open when clients do not end theirs. */
export const MOST_CONNECTIONS = 32;
/** Request line and headers together. Prometheus sends about 400 bytes. */
const MOST_HEADER_BYTES = 8 * 1024;
const HEADERS_TIMEOUT_MS = 5000;
/** For the whole request, and for a client that takes nothing of its answer. */
const REQUEST_TIMEOUT_MS = 10_000;
const CHECK_INTERVAL_MS = 1000;

/** `9464`, `127.0.0.1:9464`, `[::1]:9464`; without a host the loopback. Port 0 takes a free one. Throws ERR_MLFS_USAGE. */
export function parseListenAddress(text: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:(?:\[([^\]]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65535) {
    throw new MlfsError('ERR_MLFS_USAGE', `${quoteName(text)} is not an address to listen on`, {
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
  const limits = {
    maxHeaderSize: MOST_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
  };
  const server = createServer(limits, (request, response) => {
    // Requests that a client sends behind its first are not answered: many at once would hold up the mount.
    response.shouldKeepAlive = false;
    if (!isAddressedTo(request.headers.host, host, request.socket)) {
      return refuse(
        response,
        421,
        `the metrics are for requests to the address that they are served at, to localhost, or to the name in --metrics HOST:PORT`,
      );
    }
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
  server.maxRequestsPerSocket = 1;
  server.timeout = REQUEST_TIMEOUT_MS;
  // What connects while so many are being closed is turned away.
  server.maxConnections = 2 * MOST_CONNECTIONS;
  keepNewest(server);
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

/** Closes the oldest connection when there are too many: clients that hold theirs open do not keep the next one out. */
function keepNewest(server: Server): void {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    const [oldest] = open;
    if (open.size <= MOST_CONNECTIONS || oldest === undefined) return;
    open.delete(oldest);
    oldest.destroy();
  });
}

/**
 * Whether a Host header names this server. The port is not looked at: a tunnel has another one, and a page's name is what rebinding changes.
 */
function isAddressedTo(header: string | undefined, listening: string, { localAddress }: Socket): boolean {
  if (header === undefined) return false;
  const [, bracketed, plain] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::\d*)?$/.exec(header) ?? [];
  const name = (bracketed ?? plain ?? '').toLowerCase();
  if (name === 'localhost' || name === listening.toLowerCase()) return true;
  // Where every address of the machine is listened on, the one that the client connected to.
  return isIP(name) !== 0 && name === localAddress?.replace(/^::ffff:(?=\d+\.)/, '');
}

function refuse(response: ServerResponse, status: number, why: string): void {
  response.statusCode = status;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(`${why}\n`);
}
