import type { Attr, AttrChange } from '../fuse/filesystem.ts';
import { attrOf, PERMISSIONS } from './attributes.ts';
import type { Stat } from './host-files.ts';
import type { Node } from './nodes.ts';

/**
 * Mode and owner of /activations itself, which belongs to the mount: changes last until the unmount. On disk the folder stays private to
 * its owner. Its times are those of the folder on disk.
 */
export class TopFolder {
  readonly #bornMs = Date.now();
  #mode = 0o755;
  #uid = process.getuid?.() ?? 0;
  #gid = process.getgid?.() ?? 0;

  /** `stat`: the folder on disk, which does not exist until something is made in it. */
  attr(root: Node, stat: Stat | undefined): Attr {
    const own = { mode: this.#mode, uid: this.#uid, gid: this.#gid };
    if (stat !== undefined) return { ...attrOf(root, stat), ...own };
    const { nodeid } = root;
    return { nodeid, kind: 'directory', ...own, nlink: 1, size: 0, mtimeMs: this.#bornMs };
  }

  change({ mode, uid, gid }: Pick<AttrChange, 'mode' | 'uid' | 'gid'>): void {
    if (mode !== undefined) this.#mode = mode & PERMISSIONS;
    this.#uid = uid ?? this.#uid;
    this.#gid = gid ?? this.#gid;
  }
}
