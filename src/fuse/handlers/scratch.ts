import { errno } from '../../errors.ts';
import type { NeverDone } from '../filesystem.ts';
import { after } from '../maybe-promise.ts';
import { encodeCreated, encodeEntry } from '../protocol/attr.ts';
import type { RenameRequest } from '../protocol/names.ts';
import {
  decodeCreate,
  decodeMkdir,
  decodeMknod,
  decodeRemoved,
  decodeRename,
  decodeRename2,
} from '../protocol/names.ts';
import { replyTo } from '../protocol/reply.ts';
import type { Request } from '../protocol/request.ts';
import { openedHow } from './files.ts';
import type { Handler, Session } from './handler.ts';

export const create: Handler = (session, request) => {
  const { flags, mode, name } = decodeCreate(request);
  return after(session.filesystem.create(request.nodeid, name, mode, flags, request), ({ entry, opened }) => {
    const { nodeid } = entry.attr;
    session.inodes.remember(nodeid);
    return encodeCreated(request, entry, opened.handle, openedHow(session, nodeid, opened, flags));
  });
};

export const mknod: Handler = (session, request) => {
  const { mode, name } = decodeMknod(request);
  return after(session.filesystem.mknod(request.nodeid, name, mode, request), (entry) => {
    session.inodes.remember(entry.attr.nodeid);
    return encodeEntry(request, entry);
  });
};

export const mkdir: Handler = (session, request) => {
  const { mode, name } = decodeMkdir(request);
  return after(session.filesystem.mkdir(request.nodeid, name, mode, request), (entry) => {
    session.inodes.remember(entry.attr.nodeid);
    return encodeEntry(request, entry);
  });
};

export const unlink: Handler = (session, request) =>
  after(session.filesystem.unlink(request.nodeid, decodeRemoved(request), request), () =>
    replyTo(request, 0),
  );

export const rmdir: Handler = (session, request) =>
  after(session.filesystem.rmdir(request.nodeid, decodeRemoved(request), request), () => replyTo(request, 0));

export const rename: Handler = (session, request) => renameAs(session, request, decodeRename(request));

export const rename2: Handler = (session, request) => renameAs(session, request, decodeRename2(request));

function renameAs(session: Session, request: Request, asked: RenameRequest) {
  const { name, newParent, newName, flags } = asked;
  return after(session.filesystem.rename(request.nodeid, name, newParent, newName, flags, request), () =>
    replyTo(request, 0),
  );
}

/** An operation that every mount refuses, with a reason that depends on the mount. */
export function never(operation: NeverDone): Handler {
  return (session) => {
    throw errno(session.filesystem.refusal(operation));
  };
}
