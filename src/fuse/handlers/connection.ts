import { negotiate } from '../negotiate.ts';
import { decodeInit, encodeInit, encodeMajor, MAJOR, requireVersion } from '../protocol/init.ts';
import { replyTo } from '../protocol/reply.ts';
import type { Handler } from './handler.ts';

export const init: Handler = (session, request) => {
  const kernel = decodeInit(request);
  requireVersion(kernel);
  if (kernel.major > MAJOR) return encodeMajor(request);
  session.negotiated = negotiate(kernel, session.hooks.limits);
  return encodeInit(request, session.negotiated);
};

/** The transport learns from its device that the mount is gone. */
export const destroy: Handler = (_session, request) => replyTo(request, 0);
