import { errno } from '../../errors.ts';
import { after } from '../maybe-promise.ts';
import { encodeReaddir, encodeReaddirplus } from '../protocol/dirent.ts';
import { decodeRead, encodeOpen, FOPEN } from '../protocol/file-io.ts';
import { INIT_FLAGS } from '../protocol/init.ts';
import { replyTo } from '../protocol/reply.ts';
import { type Handler, readLimit } from './handler.ts';

/** Directories need no handle: their listings do not change. */
const NO_HANDLE = 0;

export const opendir: Handler = (session, request) => {
  const flags = session.negotiated?.flags ?? 0n;
  if ((flags & INIT_FLAGS.NO_OPENDIR_SUPPORT) !== 0n) throw errno('ENOSYS');
  return encodeOpen(request, NO_HANDLE, { flags: FOPEN.KEEP_CACHE | FOPEN.CACHE_DIR });
};

export const readdir: Handler = (session, request) => {
  const { offset, length } = decodeRead(request);
  const room = Math.min(length, readLimit(session));
  return after(session.filesystem.readdir(request.nodeid, offset, request), (entries) =>
    encodeReaddir(request, entries, room),
  );
};

export const readdirplus: Handler = (session, request) => {
  const { offset, length } = decodeRead(request);
  const room = Math.min(length, readLimit(session));
  return after(session.filesystem.readdir(request.nodeid, offset, request), (entries) =>
    encodeReaddirplus(request, entries, room, (nodeid) => session.inodes.remember(nodeid)),
  );
};

export const releasedir: Handler = (_session, request) => replyTo(request, 0);
