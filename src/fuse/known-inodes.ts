import type { Extent } from '../storage/extent.ts';
import type { Filesystem } from './filesystem.ts';
import type { DispatcherHooks } from './hooks.ts';

/**
 * What the kernel knows: how many references it holds to each inode that the transport does not count itself, and which inodes' extents the data
 * plane has. LOOKUP and READDIRPLUS add references, and FORGET removes them. The extents of an inode without references are withdrawn. The kernel
 * holds a reference to every open file, so nothing is withdrawn while it is read.
 */
export class KnownInodes {
  readonly #filesystem: Filesystem;
  readonly #hooks: DispatcherHooks;
  readonly #references = new Map<number, number>();
  readonly #published = new Map<number, readonly Extent[]>();

  constructor(filesystem: Filesystem, hooks: DispatcherHooks) {
    this.#filesystem = filesystem;
    this.#hooks = hooks;
  }

  get size(): number {
    return this.#references.size;
  }

  remember(nodeid: number): void {
    if (this.#hooks.addReference?.(nodeid) === true) {
      this.#filesystem.remember(nodeid, true);
      return;
    }
    const held = this.#references.get(nodeid) ?? 0;
    this.#references.set(nodeid, held + 1);
    if (held === 0) this.#filesystem.remember(nodeid);
  }

  publish(nodeid: number, extents: readonly Extent[]): void {
    if (this.#published.get(nodeid) === extents) return;
    this.#hooks.publish(nodeid, extents);
    this.#published.set(nodeid, extents);
  }

  forget(nodeid: number, count: number): void {
    if (this.#hooks.dropReferences?.(nodeid, count) === true) {
      this.forgotten([nodeid]);
      return;
    }
    const left = (this.#references.get(nodeid) ?? 0) - count;
    if (left > 0) {
      this.#references.set(nodeid, left);
      return;
    }
    if (this.#published.delete(nodeid)) this.#hooks.withdraw(nodeid);
    if (this.#references.delete(nodeid)) this.#filesystem.forget(nodeid);
  }

  /** The last references to these inodes, which the transport counts, are gone; since then there may be new ones. */
  forgotten(nodeids: Iterable<number>): void {
    for (const nodeid of nodeids) {
      if ((this.#hooks.references?.(nodeid) ?? 0) > 0) continue;
      if (this.#published.delete(nodeid)) this.#hooks.withdraw(nodeid);
      this.#filesystem.forget(nodeid);
    }
  }
}
