import type { Trace } from '../fuse/request-trace.ts';
import type { Level, Log } from '../telemetry/log.ts';

/** The room that shows the log itself. */
const LOG_ROOM = 'logs';

/**
 * Logs each request of a mount whose log keeps debug lines. Undefined otherwise, so that nothing is measured. Requests for the log itself
 * are left out: reading the log would make it longer with each read, so a reader would never reach its end. The server's own requests are
 * left out, too.
 */
export function requestLog(
  log: Log,
  level: Level | undefined,
  roomOf: (nodeid: number) => string,
): Trace | undefined {
  if (level !== 'debug') return undefined;
  return ({ opcode, nodeid, path, microseconds, ...request }) => {
    if (request.pid === process.pid) return;
    if (path === `/${LOG_ROOM}` || path?.startsWith(`/${LOG_ROOM}/`)) return;
    if (nodeid !== undefined && nodeid > 1 && roomOf(nodeid) === LOG_ROOM) return;
    log.debug('request', { opcode, nodeid, path, ...request, us: microseconds });
  };
}
