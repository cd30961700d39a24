import { LRUCache } from 'lru-cache';
import { errno } from '../../errors.ts';
import type { Attr, Filesystem, MaybePromise, RequestContext } from '../filesystem.ts';
import { after } from '../maybe-promise.ts';
import { NAME_MAX } from '../protocol/request.ts';

/** Maximum number of remembered paths: enough for a mount of 20,000 tensors, and a long-lived server does not grow. */
const REMEMBERED = 65_536;
const ROOT = 1;

export interface SplitPath {
  readonly parent: string;
  readonly name: string;
}

/** Throws ENAMETOOLONG. */
export function splitPath(path: string): SplitPath {
  const slash = path.lastIndexOf('/');
  const name = path.slice(slash + 1);
  if (Buffer.byteLength(name) > NAME_MAX) throw errno('ENAMETOOLONG');
  return { parent: path.slice(0, slash) || '/', name };
}

/**
 * libfuse's high-level interface uses paths, and a Filesystem uses nodeids. A path is walked once. Operations here that change names report
 * it, and when the file system changes names itself, everything is walked again.
 */
export class Paths {
  readonly #filesystem: Filesystem;
  readonly #context: () => RequestContext;
  readonly #open: () => Iterable<number>;
  readonly #nodeids: LRUCache<string, number>;
  #namesVersion: number;

  /** `open` returns the nodeids of the open files. */
  constructor(filesystem: Filesystem, context: () => RequestContext, open: () => Iterable<number>) {
    this.#filesystem = filesystem;
    this.#context = context;
    this.#open = open;
    this.#namesVersion = filesystem.namesVersion;
    this.#nodeids = new LRUCache({ max: REMEMBERED });
  }

  /** A path, and everything below it, leads elsewhere or nowhere. */
  forget(path: string): void {
    for (const known of this.#nodeids.keys()) {
      if (known === path || known.startsWith(`${path}/`)) this.#nodeids.delete(known);
    }
  }

  /** The folder at this path is gone: nothing refers to it any more. */
  removed(path: string): void {
    const nodeid = this.#nodeids.get(path);
    if (nodeid === undefined) return;
    this.#nodeids.delete(path);
    this.#filesystem.forget(nodeid);
  }

  /** Throws ENOENT or ENAMETOOLONG. */
  nodeid(path: string): MaybePromise<number> {
    if (path === '/') return ROOT;
    if (this.#namesVersion !== this.#filesystem.namesVersion) this.#startAnew();
    const known = this.#nodeids.get(path);
    if (known !== undefined) return known;
    const { parent, name } = splitPath(path);
    return after(this.nodeid(parent), (parentId) =>
      after(this.#lookup(parentId, name), ({ nodeid }) => {
        this.#nodeids.set(path, nodeid);
        this.#filesystem.remember(nodeid);
        return nodeid;
      }),
    );
  }

  #startAnew(): void {
    this.#namesVersion = this.#filesystem.namesVersion;
    const open = new Set(this.#open());
    for (const nodeid of this.#nodeids.values()) if (!open.has(nodeid)) this.#filesystem.forget(nodeid);
    this.#nodeids.clear();
  }

  #lookup(parent: number, name: string): MaybePromise<Attr> {
    return after(this.#filesystem.lookup(parent, name, this.#context()), (entry) => {
      if ('absent' in entry) throw errno('ENOENT');
      return entry.attr;
    });
  }
}
