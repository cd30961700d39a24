import type { AbsentEntry, Attr } from '../fuse/filesystem.ts';
import type { Stat } from './host-files.ts';
import type { Node } from './nodes.ts';

/** Set-user-id and set-group-id bits are neither kept nor shown: the files of a forward pass are not programs. */
export const PERMISSIONS = 0o1777;
/** The bits of the array's mode that its text has: users who may read the array may read its text. */
const CSV_MODE = 0o444;
/** How long the kernel may keep a name: it sees the changes made through it. Attributes are requested each time. */
const NAME_MS = 1000;

export const ABSENT: AbsentEntry = { absent: true, entryTimeoutMs: 0 };

/** For the name of a virtual file, which disappears with its array. */
export function timeoutsOf(node: Node): { entryTimeoutMs: number; attrTimeoutMs: number } {
  return { entryTimeoutMs: node.kind === 'csv' ? 0 : NAME_MS, attrTimeoutMs: 0 };
}

export function attrOf(node: Node, stat: Stat): Attr {
  return {
    nodeid: node.nodeid,
    kind: node.kind === 'directory' ? 'directory' : 'file',
    mode: Number(stat.mode) & PERMISSIONS,
    nlink: node.kind === 'directory' ? 1 : Number(stat.nlink),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    size: Number(stat.size),
    mtimeMs: Number(stat.mtimeNs) / 1e6,
    exactTimes: { atimeNs: stat.atimeNs, mtimeNs: stat.mtimeNs, ctimeNs: stat.ctimeNs },
    blocks: Number(stat.blocks),
  };
}

export function csvAttr(node: Node, array: Stat, size: number): Attr {
  const { blocks: _, ...shown } = attrOf(node, array);
  return { ...shown, mode: shown.mode & CSV_MODE, nlink: 1, size };
}
