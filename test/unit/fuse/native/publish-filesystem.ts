import type { Entry, Filesystem, RequestContext } from '../../../../src/fuse/filesystem.ts';
import { fileMode } from '../../../../src/fuse/protocol/attr.ts';
import { encodeName } from '../../../../src/fuse/protocol/name-bytes.ts';
import { INODE, LISTING, type NativeSession } from '../../../../src/storage/native.ts';

const ROOT = 1;
const O_RDONLY = 0;

export interface PublishedTree {
  readonly rows: readonly number[];
  /** The folders whose listings were published. */
  readonly folders: readonly number[];
  readonly names: readonly { readonly folder: number; readonly name: Buffer }[];
}

/**
 * Publishes all of a file system whose answers do not change: found out by its own operations, so that it is independent of how trees are
 * published. Documents, whose sizes are others each time they are made, get no row.
 */
export async function publishFilesystem(
  session: NativeSession,
  filesystem: Filesystem,
  context: RequestContext,
): Promise<PublishedTree> {
  const rows = new Map<number, number[]>();
  const folders: number[] = [];
  const names: { folder: number; name: Buffer }[] = [];
  const walk = async (nodeid: number, parent: number): Promise<void> => {
    const own = await filesystem.getattr(nodeid, context);
    rows.set(
      nodeid,
      rowOf({ ...own, entryTimeoutMs: 0 }, parent, await flagsOf(filesystem, nodeid, true, context)),
    );
    const fields: number[] = [];
    const published: Buffer[] = [];
    for (const { name, offset, entry } of [...(await filesystem.readdir(nodeid, 2, context))]) {
      const { attr } = entry;
      const bytes = encodeName(name);
      fields.push(attr.nodeid, offset, bytes.byteLength);
      published.push(bytes);
      names.push({ folder: nodeid, name: bytes });
      if (attr.kind === 'directory') await walk(attr.nodeid, nodeid);
      else if (!(filesystem.getattr(attr.nodeid, context) instanceof Promise)) {
        rows.set(attr.nodeid, rowOf(entry, 0, await flagsOf(filesystem, attr.nodeid, false, context)));
      }
    }
    const lasts = nodeid === ROOT ? 0 : LISTING.ABSENCE_LASTS;
    session.publishListings(
      Float64Array.of(nodeid, LISTING.COMPLETE | lasts, published.length, ...fields),
      Buffer.concat(published),
    );
    folders.push(nodeid);
  };
  await walk(ROOT, ROOT);
  session.addInodes(Float64Array.from([...rows.values()].flat()));
  return { rows: [...rows.keys()], folders, names };
}

function rowOf({ attr, attrTimeoutMs }: Entry, parent: number, flags: number): number[] {
  const seconds = Math.floor(attr.mtimeMs / 1000);
  const nanoseconds = Math.floor((attr.mtimeMs - seconds * 1000) * 1e6);
  const shown = attrTimeoutMs === 0 ? flags | INODE.ASK : flags;
  return [attr.nodeid, fileMode(attr), attr.nlink, attr.size, seconds, nanoseconds, parent, shown, 0, -1, 0];
}

async function flagsOf(
  filesystem: Filesystem,
  nodeid: number,
  isDirectory: boolean,
  context: RequestContext,
): Promise<number> {
  const xattrs = await filesystem.listxattr(nodeid, context);
  const flags = xattrs.length === 0 ? INODE.NO_XATTRS : 0;
  if (isDirectory) return flags;
  const opened = await filesystem.open(nodeid, O_RDONLY, context);
  const readable = opened.handle === 0 && opened.caching === 'keep' && opened.backing === undefined;
  await filesystem.release(nodeid, opened.handle);
  return readable ? flags | INODE.READABLE : flags;
}
