import { after } from '../maybe-promise.ts';
import { decodeAccess } from '../protocol/access.ts';
import { encodeAttr } from '../protocol/attr.ts';
import { replyTo, replyWith } from '../protocol/reply.ts';
import { decodeSetattr } from '../protocol/setattr.ts';
import { encodeStatfs } from '../protocol/statfs.ts';
import { encodeStatx } from '../protocol/statx.ts';
import { decodeXattrName, decodeXattrRoom, encodeXattr, encodeXattrNames } from '../protocol/xattr.ts';
import type { Handler } from './handler.ts';

export const getattr: Handler = (session, request) =>
  after(session.filesystem.getattr(request.nodeid, request), (answer) => encodeAttr(request, answer));

export const statx: Handler = (session, request) =>
  after(session.filesystem.getattr(request.nodeid, request), (answer) => encodeStatx(request, answer));

export const setattr: Handler = (session, request) =>
  after(session.filesystem.setattr(request.nodeid, decodeSetattr(request), request), (answer) =>
    encodeAttr(request, answer),
  );

export const access: Handler = (session, request) =>
  after(session.filesystem.access(request.nodeid, decodeAccess(request), request), () => replyTo(request, 0));

export const statfs: Handler = (session, request) =>
  after(session.filesystem.statfs(request, request.nodeid), (answer) => encodeStatfs(request, answer));

export const getxattr: Handler = (session, request) => {
  const room = decodeXattrRoom(request);
  const name = decodeXattrName(request);
  return after(session.filesystem.getxattr(request.nodeid, name, request), (value) =>
    encodeXattr(request, value, room),
  );
};

export const listxattr: Handler = (session, request) => {
  const room = decodeXattrRoom(request);
  return after(session.filesystem.listxattr(request.nodeid, request), (names) =>
    names.length === 0 && room > 0
      ? replyWith(request, new Uint8Array(0))
      : encodeXattr(request, encodeXattrNames(names), room),
  );
};
