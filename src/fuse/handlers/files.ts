import type { OpenReply } from '../filesystem.ts';
import { after } from '../maybe-promise.ts';
import { O_ACCMODE, O_RDONLY } from '../open-policy.ts';
import {
  decodeDatasync,
  decodeFallocate,
  decodeHandle,
  decodeLseek,
  decodeOpen,
  decodeRead,
  decodeWrite,
  encodeOpen,
  encodeWritten,
  FOPEN,
  type OpenedHow,
} from '../protocol/file-io.ts';
import { replyNumber, replyTo, replyWith } from '../protocol/reply.ts';
import { type Handler, readLimit, type Session } from './handler.ts';

export const open: Handler = (session, request) => {
  const flags = decodeOpen(request);
  return after(session.filesystem.open(request.nodeid, flags, request), (opened) => {
    // Before the reply, because the first READ may overtake anything that comes after it.
    if (opened.extents !== undefined) session.inodes.publish(request.nodeid, opened.extents);
    return encodeOpen(request, opened.handle, openedHow(session, request.nodeid, opened, flags));
  });
};

const CACHING = { keep: FOPEN.KEEP_CACHE, fresh: 0, direct: FOPEN.DIRECT_IO } as const;

/** How an open is served: by the kernel alone if possible. */
export function openedHow(session: Session, nodeid: number, opened: OpenReply, flags: number): OpenedHow {
  // A file that was only read has nothing to flush when it is closed.
  const flushing = (flags & O_ACCMODE) === O_RDONLY ? FOPEN.NOFLUSH : 0;
  const backing = session.backings.opened(nodeid, opened);
  if (backing !== undefined) return { flags: FOPEN.PASSTHROUGH | flushing, backing };
  if (opened.writes !== undefined) session.hooks.grantWrites?.(nodeid, opened.handle, opened.writes);
  return { flags: CACHING[opened.caching] | flushing };
}

export const read: Handler = (session, request) => {
  const { handle, offset, length } = decodeRead(request);
  const room = Math.min(length, readLimit(session));
  return after(session.filesystem.read(request.nodeid, handle, offset, room, request), (bytes) =>
    replyWith(request, bytes),
  );
};

export const write: Handler = (session, request) => {
  const { handle, offset, bytes } = decodeWrite(request);
  return after(session.filesystem.write(request.nodeid, handle, offset, bytes, request), (count) =>
    encodeWritten(request, count),
  );
};

export const flush: Handler = (session, request) => {
  const handle = decodeHandle(request, 24, 'fuse_flush_in');
  return after(session.filesystem.flush(request.nodeid, handle, request), () => replyTo(request, 0));
};

export const release: Handler = (session, request) => {
  const handle = decodeHandle(request, 24, 'fuse_release_in');
  session.backings.released(request.nodeid, handle);
  session.hooks.revokeWrites?.(request.nodeid, handle);
  return after(session.filesystem.release(request.nodeid, handle), () => replyTo(request, 0));
};

export const fsync: Handler = (session, request) => {
  const handle = decodeHandle(request, 16, 'fuse_fsync_in');
  return after(session.filesystem.fsync(request.nodeid, handle, decodeDatasync(request), request), () =>
    replyTo(request, 0),
  );
};

export const fallocate: Handler = (session, request) => {
  const { handle, ...range } = decodeFallocate(request);
  return after(session.filesystem.fallocate(request.nodeid, handle, range, request), () =>
    replyTo(request, 0),
  );
};

/** FSYNCDIR and SYNCFS: directories have no data of their own that could be lost. */
export const sync: Handler = (session, request) =>
  after(session.filesystem.sync(), () => replyTo(request, 0));

export const lseek: Handler = (session, request) => {
  const { handle, offset, whence } = decodeLseek(request);
  return after(session.filesystem.lseek(request.nodeid, handle, offset, whence, request), (found) =>
    replyNumber(request, found),
  );
};
