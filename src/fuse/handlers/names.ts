import { after } from '../maybe-promise.ts';
import { encodeAbsent, encodeEntry } from '../protocol/attr.ts';
import { decodeBatchForget, decodeForget } from '../protocol/forget.ts';
import { BODY } from '../protocol/request.ts';
import type { Handler } from './handler.ts';

export const lookup: Handler = (session, request) => {
  const name = request.name(BODY);
  return after(session.filesystem.lookup(request.nodeid, name, request), (entry) => {
    if ('absent' in entry) return encodeAbsent(request, entry.entryTimeoutMs);
    session.inodes.remember(entry.attr.nodeid);
    return encodeEntry(request, entry);
  });
};

export const forget: Handler = (session, request) => {
  session.inodes.forget(request.nodeid, decodeForget(request));
  return undefined;
};

export const batchForget: Handler = (session, request) => {
  for (const [nodeid, count] of decodeBatchForget(request)) session.inodes.forget(nodeid, count);
  return undefined;
};
