import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, isIP, type Socket } from 'node:net';
import { MlfsError } from '../errors.ts';
import { quoteName } from '../visible-text.ts';

/**
 * /metrics over HTTP, for Prometheus.
 *
 * Every process on this machine, and every page in a browser on it, can connect. So the server bounds what a client costs the mount: few
 * connections, where a new one replaces the oldest; one request a connection; short headers and short timeouts. It answers only requests
 * whose Host is an address or a name that it was given, so that a page cannot read it by DNS rebinding.
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
/** The media type of Prometheus' text format. */
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Maximum number of open connections. A scrape takes milliseconds, so this many are open only when clients do not close theirs. */
export const MOST_CONNECTIONS = 32;
/** Maximum size of the request line and headers. Prometheus sends about 400 bytes. */
const MOST_HEADER_BYTES = 8 * 1024;
const HEADERS_TIMEOUT_MS = 5000;
/** Timeout for the whole request, and for a client that does not read its answer. */
const REQUEST_TIMEOUT_MS = 10_000;
const CHECK_INTERVAL_MS = 1000;

/**
 * Reads `9464`, `127.0.0.1:9464` or `[::1]:9464`. Without a host it is the loopback address. Port 0 chooses a free port. Throws
 * ERR_MLFS_USAGE.
 */
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
 * Answers GET /metrics until it is closed. Throws ERR_MLFS_BUSY when the address is in use, ERR_MLFS_USAGE when it cannot be used. Later
 * failures are passed to `warn` and do not end the mount.
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
    // Pipelined requests after the first are not answered: many at once would delay the mount.
    response.shouldKeepAlive = false;
    if (!isAddressedTo(request.headers.host, host, request.socket)) {
      return refuse(
        response,
        421,
        `the Host of a request must be the address of the server, localhost, or the name in --metrics HOST:PORT`,
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
      warn(`the metrics could not be written: ${cause}`);
      return refuse(response, 500, 'the metrics could not be written; the log says why');
    }
    response.setHeader('Content-Type', CONTENT_TYPE);
    response.end(request.method === 'HEAD' ? undefined : text);
  });
  server.maxRequestsPerSocket = 1;
  server.timeout = REQUEST_TIMEOUT_MS;
  // Connections beyond this are rejected while the old ones are being closed.
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
      { cause, advice: 'port 0 chooses a free port and prints it' },
    );
  }
  // For example, no descriptor is left for another connection.
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

/** Closes the oldest connections when there are too many, so that clients that keep theirs open do not block new ones. */
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
 * Whether a Host header names this server. The port is not compared: it differs behind a tunnel, and DNS rebinding changes only the name.
 */
function isAddressedTo(header: string | undefined, listening: string, { localAddress }: Socket): boolean {
  if (header === undefined) return false;
  const [, bracketed, plain] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::\d*)?$/.exec(header) ?? [];
  const name = (bracketed ?? plain ?? '').toLowerCase();
  if (name === 'localhost' || name === listening.toLowerCase()) return true;
  // When the server listens on all addresses, the address that the client connected to is accepted.
  return isIP(name) !== 0 && name === localAddress?.replace(/^::ffff:(?=\d+\.)/, '');
}

function refuse(response: ServerResponse, status: number, why: string): void {
  response.statusCode = status;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(`${why}\n`);
}
