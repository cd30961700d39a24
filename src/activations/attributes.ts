import type { AbsentEntry, Attr } from '../fuse/filesystem.ts';
import type { Stat } from './host-files.ts';
import type { Node } from './nodes.ts';

/** The set-user-id and set-group-id bits are never kept nor shown: what a forward pass leaves behind is no program. */
export const PERMISSIONS = 0o1777;
/** Who may read the array may read its text. */
const CSV_MODE = 0o444;
/** What the kernel may keep of names; it sees by itself what is done through it. Attributes are asked for each time. */
const NAME_MS = 1000;

export const ABSENT: AbsentEntry = { absent: true, entryTimeoutMs: 0 };

/** The name of a virtual file is gone when its array is. */
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
